// How families of models write calls of tools.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace brisk::api {

enum class ToolCallSyntax : uint8_t {
  kTagged,      // <tool_call>{"name": "f", "arguments": {}}</tool_call>: Qwen, Hermes, brisk
  kJson,        // {"name": "f", "parameters": {}}: Llama 3
  kMistral,     // [TOOL_CALLS] [{"name": "f", "arguments": {}}], or [TOOL_CALLS]f[ARGS]{}
  kPythonic,    // [f(a=1), g()]: Llama 4, and 3.2
  kDeepSeek,    // <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f ...: V3, R1
  kDeepSeek31,  // the same without type and code block: V3.1
};

// "tagged", "json", "mistral", "pythonic", "deepseek", "deepseek-v3.1".
std::string_view name_of(ToolCallSyntax syntax);
std::optional<ToolCallSyntax> tool_call_syntax_named(std::string_view name);
std::vector<std::string> tool_call_syntax_choices();  // and "auto"

// How a model and its chat template get along with tools.
struct ToolSupport {
  bool shows_tools = false;  // the template has a place for them
  ToolCallSyntax syntax = ToolCallSyntax::kTagged;
  bool is_forced = false;  // whatever the template
};

// What the source of a chat template tells. `forced`: the name of a syntax, or empty; a template
// that nobody can read is believed to show tools then.
ToolSupport tool_support(std::string_view chat_template, std::string_view forced = "");

// The text that a call begins with, apart from the answer's text; empty: calls are the whole
// answer. Where it is a control token, answers must be read with control tokens spelled out.
std::string_view tool_call_marker(ToolCallSyntax syntax);

// An id for a call: `prefix` and a number, or what the family's templates demand.
std::string new_tool_call_id(ToolCallSyntax syntax, std::string_view prefix);

}  // namespace brisk::api
