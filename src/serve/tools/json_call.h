// A call of a tool as a JSON object: {"name": "f", "arguments": {...}}, in any order of keys, also
// with "parameters", also with the arguments in a string. Other keys mean nothing.
#pragma once

#include <cstdint>
#include <string>

#include "serve/tools/call_sink.h"
#include "serve/tools/json_scanner.h"

namespace brisk::api {

// Bytes of a call that may be read before it is clear what is called.
inline constexpr size_t kCallBytesHeldMax = 65'536;

class JsonCall {
 public:
  // `needs_arguments`: an object without them is no call.
  explicit JsonCall(bool needs_arguments) : needs_arguments_(needs_arguments) {}

  ReadResult push(char byte, CallSink& sink);

 private:
  enum class State : uint8_t { kStart, kFirstKey, kKey, kInKey, kColon, kValue, kInValue, kAfter };
  enum class Role : uint8_t { kName, kArguments, kOther };

  ReadResult begin_value(char byte, CallSink& sink);
  ReadResult in_value(char byte, CallSink& sink);
  bool end_value(CallSink& sink);
  ReadResult end(CallSink& sink);
  bool say(CallSink& sink);

  bool needs_arguments_;
  State state_ = State::kStart;
  Role role_ = Role::kOther;
  JsonScanner scanner_;
  std::string token_;  // a key, a name or arguments in a string so far
  std::string name_;
  std::string arguments_;  // read and not told yet
  bool has_arguments_ = false;
  bool is_quoted_ = false;  // the arguments are in a string
  bool is_announced_ = false;
};

}  // namespace brisk::api
