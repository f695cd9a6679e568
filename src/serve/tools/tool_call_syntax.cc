#include "serve/tools/tool_call_syntax.h"

#include <array>
#include <utility>

#include "serve/http/wire.h"

namespace brisk::api {
namespace {

using enum ToolCallSyntax;

constexpr std::array<std::pair<ToolCallSyntax, std::string_view>, 6> kNames = {{
    {kTagged, "tagged"},
    {kJson, "json"},
    {kMistral, "mistral"},
    {kPythonic, "pythonic"},
    {kDeepSeek, "deepseek"},
    {kDeepSeek31, "deepseek-v3.1"},
}};

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

ToolCallSyntax syntax_of(std::string_view source) {
  if (has(source, "<｜tool▁call▁begin｜>")) return has(source, "```json") ? kDeepSeek : kDeepSeek31;
  if (has(source, "[TOOL_CALLS]")) return kMistral;
  if (has(source, "<tool_call>")) return kTagged;
  if (has(source, "func_name1(") || has(source, "(params_name1=")) return kPythonic;
  if (has(source, "<|python_tag|>") || has(source, "\"parameters\": ")) return kJson;
  return kTagged;
}

}  // namespace

std::string_view name_of(ToolCallSyntax syntax) {
  for (const auto& [each, name] : kNames) {
    if (each == syntax) return name;
  }
  return "";
}

std::optional<ToolCallSyntax> tool_call_syntax_named(std::string_view name) {
  for (const auto& [syntax, each] : kNames) {
    if (each == name) return syntax;
  }
  return std::nullopt;
}

std::vector<std::string> tool_call_syntax_choices() {
  std::vector<std::string> names = {"auto"};
  for (const auto& [syntax, name] : kNames) names.emplace_back(name);
  return names;
}

ToolSupport tool_support(std::string_view chat_template, std::string_view forced) {
  ToolSupport support{.shows_tools = has(chat_template, "tools"),
                      .syntax = syntax_of(chat_template)};
  if (const auto named = tool_call_syntax_named(forced)) {
    support = {.shows_tools = true, .syntax = *named, .is_forced = true};
  }
  return support;
}

std::string_view tool_call_marker(ToolCallSyntax syntax) {
  switch (syntax) {
    case kTagged:
      return "<tool_call>";
    case kMistral:
      return "[TOOL_CALLS]";
    case kDeepSeek:
    case kDeepSeek31:
      return "<｜tool▁calls▁begin｜>";
    case kJson:
    case kPythonic:
      return "";
  }
  return "";
}

std::string new_tool_call_id(ToolCallSyntax syntax, std::string_view prefix) {
  constexpr int kMistralDigits = 9;
  if (syntax == kMistral) return http::random_hex(kMistralDigits);
  return std::string(prefix) + http::random_hex(24);
}

}  // namespace brisk::api
