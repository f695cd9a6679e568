#include "serve/tools/tool_constraint.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace brisk::api {
namespace {

using Text = ToolCallForms::Text;

struct Words {
  std::string first;
  std::string begin;  // {} stands for the name
  std::string end;
  std::string between;
  std::string last;
};

// Line breaks may be left out.
Words words_of(ToolCallSyntax syntax) {
  switch (syntax) {
    case ToolCallSyntax::kTagged:
      return {.first = "",
              .begin = "<tool_call>\n{\"name\": \"NAME\", \"arguments\": ",
              .end = "}\n</tool_call>",
              .between = "\n",
              .last = ""};
    case ToolCallSyntax::kJson:
      return {.first = "",
              .begin = "{\"name\": \"NAME\", \"parameters\": ",
              .end = "}",
              .between = "; ",
              .last = ""};
    case ToolCallSyntax::kMistral:
      return {.first = "[TOOL_CALLS] [",
              .begin = "{\"name\": \"NAME\", \"arguments\": ",
              .end = "}",
              .between = ", ",
              .last = "]"};
    case ToolCallSyntax::kPythonic:
      return {.first = "[", .begin = "NAME(", .end = ")", .between = ", ", .last = "]"};
    case ToolCallSyntax::kDeepSeek:
      return {.first = "<｜tool▁calls▁begin｜>",
              .begin = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n",
              .end = "\n```<｜tool▁call▁end｜>",
              .between = "\n",
              .last = "<｜tool▁calls▁end｜>"};
    case ToolCallSyntax::kDeepSeek31:
      return {.first = "<｜tool▁calls▁begin｜>",
              .begin = "<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>",
              .end = "<｜tool▁call▁end｜>",
              .between = "",
              .last = "<｜tool▁calls▁end｜>"};
  }
  return {};
}

std::string with_name(std::string words, const std::string& name) {
  const size_t at = words.find("NAME");
  return words.replace(at, 4, name);
}

}  // namespace

std::optional<ToolCallForms> tool_call_forms(const ToolRequest& request, ToolCallSyntax syntax) {
  const bool is_required = request.use == ToolUse::kRequired;
  const bool any_strict = std::ranges::any_of(request.tools, &Tool::is_strict);
  if (request.use == ToolUse::kNone || (!is_required && !any_strict)) return std::nullopt;
  const Words words = words_of(syntax);
  const bool is_single = !request.is_parallel || !request.only.empty();
  ToolCallForms forms;
  forms.keywords = syntax == ToolCallSyntax::kPythonic;
  forms.first = words.first;
  forms.between = words.between;
  forms.last = words.last;
  forms.calls_max = is_single ? 1 : kToolCallsMax;
  for (const Tool& tool : request.tools) {
    if (!request.only.empty() && tool.name != request.only) continue;
    const bool is_checked = is_required || tool.is_strict || forms.keywords;
    forms.tools.push_back({.name = tool.name,
                           .begin = with_name(words.begin, tool.name),
                           .schema = is_checked ? tool.schema : "",
                           .end = words.end});
  }
  if (!is_required) {
    const std::string_view marker = tool_call_marker(syntax);
    const bool has_marker = !marker.empty();
    forms.text = has_marker ? Text::kWithout : Text::kNotBeginning;
    forms.marker = has_marker ? std::string(marker) : forms.keywords ? "[" : "{";
  }
  return forms;
}

}  // namespace brisk::api
