// What the readers of calls tell the parser that holds them.
#pragma once

#include <cstdint>
#include <string_view>

namespace brisk::api {

enum class ReadResult : uint8_t {
  kMore,
  kDone,   // the byte was the last one of the call
  kWrong,  // this is no call, or not any more
};

class CallSink {
 public:
  virtual ~CallSink() = default;
  // A call of the tool begins. False: there is no such tool, or there are too many calls.
  virtual bool announce(std::string_view name) = 0;
  // More JSON of its arguments.
  virtual void add_arguments(std::string_view json) = 0;
};

}  // namespace brisk::api
