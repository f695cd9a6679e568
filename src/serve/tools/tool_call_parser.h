// Finds calls of tools in an answer while it arrives. The same bytes give the same pieces, however
// they were cut.
//
// What looks like a call and turns out to be none is text. A call that is malformed after its
// arguments have begun keeps what was read of them. White space around calls is dropped.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "serve/tools/call_sink.h"
#include "serve/tools/json_call.h"
#include "serve/tools/tool_call_syntax.h"

namespace brisk::api {

struct AnswerPiece {
  enum class Kind : uint8_t {
    kText,
    kCall,       // begins; `text` is the tool's name
    kArguments,  // of the last call: JSON, to be appended
  };
  Kind kind = Kind::kText;
  std::string text;

  friend bool operator==(const AnswerPiece&, const AnswerPiece&) = default;
};

// One answer. One thread. Takes time linear in the text, and memory for what may still become a
// call: at most kCallBytesHeldMax (json_call.h).
class ToolCallParser : protected CallSink {
 public:
  struct Options {
    ToolCallSyntax syntax = ToolCallSyntax::kTagged;
    std::vector<std::string> tools;  // that there are
    bool only_these = false;         // what looks like a call of another one is text
  };

  static std::unique_ptr<ToolCallParser> create(const Options& options);
  ~ToolCallParser() override = default;

  void push(std::string_view text);
  // The answer is over.
  void finish();
  // What has been decided since the last call; characters are whole.
  std::vector<AnswerPiece> take();
  // Calls that have begun.
  int calls() const { return calls_; }

 protected:
  explicit ToolCallParser(const Options& options);

  // Reads the next byte.
  virtual void read(char byte) = 0;

  // White space at its end waits for what comes.
  void add_text(std::string_view text);
  // Bytes that may turn out to be a call or text.
  void hold(char byte) { held_ += byte; }
  size_t held_bytes() const { return held_.size(); }
  void drop_held() { held_.clear(); }
  // They were text.
  void release_held();
  // They were text but for the last of them, `byte`, which is to be read again.
  void release_held_before(char byte);
  // Holds what may be `marker`; the rest is text. True: it is complete.
  bool match(std::string_view marker, char byte);

  // The byte is held too, until the call is announced.
  ReadResult read_json_call(JsonCall& call, char byte);
  // A call has been announced and has not ended.
  bool is_announced() const { return is_announced_; }
  void end_call() { is_announced_ = false; }

  bool announce(std::string_view name) override;
  void add_arguments(std::string_view json) override;

 private:
  void add(AnswerPiece::Kind kind, std::string_view text);

  const std::set<std::string, std::less<>> tools_;
  const bool takes_any_;  // name of a tool: calls cannot be text by accident

  std::string held_;
  std::string space_;  // after the text so far
  bool is_announced_ = false;
  bool is_after_call_ = false;  // no text has come since one
  bool is_finished_ = false;
  int calls_ = 0;
  std::vector<AnswerPiece> pieces_;
};

}  // namespace brisk::api
