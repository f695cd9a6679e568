// The parsers of the families (tool_call_syntax.h shows their syntax).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "serve/tools/json_call.h"
#include "serve/tools/json_scanner.h"
#include "serve/tools/python_call.h"
#include "serve/tools/tool_call_parser.h"

namespace brisk::api {

class TaggedCalls final : public ToolCallParser {
 public:
  explicit TaggedCalls(const Options& options);

 private:
  enum class State : uint8_t { kText, kCall, kEnd, kBroken };

  void read(char byte) override;
  void read_call(char byte);
  void read_end(char byte);

  State state_ = State::kText;
  JsonCall call_{false};
  std::string tail_;  // the beginning of the end tag
};

class JsonCalls final : public ToolCallParser {
 public:
  explicit JsonCalls(const Options& options);

 private:
  enum class State : uint8_t { kStart, kCall, kBetween, kText, kBroken };

  void read(char byte) override;

  State state_ = State::kStart;
  JsonCall call_{true};
};

class MistralCalls final : public ToolCallParser {
 public:
  explicit MistralCalls(const Options& options);

 private:
  enum class State : uint8_t { kText, kStart, kCall, kBetween, kName, kArguments, kBroken };

  void read(char byte) override;
  void read_start(char byte);
  void read_call(char byte);
  void read_between(char byte);
  void read_name(char byte);
  void read_arguments(char byte);

  State state_ = State::kText;
  bool is_list_ = false;
  JsonCall call_{false};
  std::string name_;
  bool name_has_ended_ = false;
  JsonScanner arguments_;
};

class PythonicCalls final : public ToolCallParser {
 public:
  explicit PythonicCalls(const Options& options);

 private:
  enum class State : uint8_t { kStart, kName, kArguments, kBetween, kText, kBroken };

  void read(char byte) override;
  void read_name(char byte);

  State state_ = State::kStart;
  std::string name_;
  PythonArguments arguments_;
};

class DeepSeekCalls final : public ToolCallParser {
 public:
  explicit DeepSeekCalls(const Options& options);

 private:
  enum class State : uint8_t { kText, kBetween, kHead, kArguments, kEnd };

  void read(char byte) override;
  void read_between(char byte);
  void read_head(char byte);
  void read_arguments(char byte);

  State state_ = State::kText;
  std::string tail_;  // the beginning of a marker
  std::string head_;  // of a call: what comes before its arguments
  JsonScanner arguments_;
};

}  // namespace brisk::api
