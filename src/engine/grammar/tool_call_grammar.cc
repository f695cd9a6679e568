#include "engine/grammar/tool_call_grammar.h"

#include <string_view>

#include "base/status.h"
#include "engine/grammar/code_points.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/json_text.h"

namespace brisk {
namespace {

class ToolCallWriter {
 public:
  explicit ToolCallWriter(const ToolCallForms& forms)
      : forms_(forms), root_(grammar_.add_rule()), text_(&grammar_) {}

  absl::StatusOr<Grammar> run() {
    if (forms_.tools.empty() || forms_.tools.size() > kToolsMax || forms_.calls_max < 1 ||
        forms_.calls_max > kToolCallsMax) {
      return invalid_input("there must be 1 to {} tools and 1 to {} calls", kToolsMax,
                           kToolCallsMax);
    }
    BRISK_ASSIGN_OR_RETURN(const ExprId calls, read_calls());
    BRISK_ASSIGN_OR_RETURN(const ExprId answer, with_text(calls));
    grammar_.define(root_, answer);
    return std::move(grammar_);
  }

 private:
  // Fixed words, whose line breaks may be left out.
  ExprId words(std::string_view words) {
    std::vector<ExprId> parts;
    while (!words.empty()) {
      const size_t line = words.find('\n');
      if (line > 0) parts.push_back(grammar_.literal(words.substr(0, line)));
      if (line == std::string_view::npos) break;
      parts.push_back(grammar_.optional(grammar_.literal("\n")));
      words.remove_prefix(line + 1);
    }
    return grammar_.sequence(std::move(parts));
  }

  absl::StatusOr<ExprId> arguments(const ToolCallForm& tool) {
    const SchemaStyle style = forms_.keywords ? SchemaStyle::kKeywords : SchemaStyle::kJson;
    if (tool.schema.empty() && !forms_.keywords) return text_.any_object();
    const std::string_view schema = tool.schema.empty() ? "{}" : std::string_view(tool.schema);
    const absl::StatusOr<RuleId> rule = add_schema(schema, style, &text_, &grammar_);
    if (!rule.ok()) return annotate(rule.status(), "tool " + tool.name);
    return grammar_.rule(*rule);
  }

  absl::StatusOr<ExprId> read_calls() {
    std::vector<ExprId> tools;
    for (const ToolCallForm& tool : forms_.tools) {
      BRISK_ASSIGN_OR_RETURN(const ExprId schema, arguments(tool));
      tools.push_back(grammar_.sequence({words(tool.begin), schema, words(tool.end)}));
    }
    const RuleId call = grammar_.add_rule(true);
    grammar_.define(call, grammar_.choice(std::move(tools)));
    const ExprId more = grammar_.sequence({words(forms_.between), grammar_.rule(call)});
    return grammar_.sequence({words(forms_.first), grammar_.rule(call),
                              grammar_.repeat(more, 0, forms_.calls_max - 1), words(forms_.last)});
  }

  absl::StatusOr<ExprId> with_text(ExprId calls) {
    const ExprId character = utf8_expr(CodePointSet::all(), &grammar_);
    const ExprId any = grammar_.repeat(character, 0, kUnbounded);
    switch (forms_.text) {
      case ToolCallForms::Text::kNone:
        return calls;
      case ToolCallForms::Text::kWithout: {
        const ExprId marked = grammar_.sequence({any, grammar_.literal(forms_.marker), any});
        return grammar_.sequence({grammar_.except(any, marked), grammar_.optional(calls)});
      }
      case ToolCallForms::Text::kNotBeginning: {
        const ExprId space = grammar_.repeat(grammar_.bytes(spaces()), 0, kUnbounded);
        const ExprId marked = grammar_.sequence({space, grammar_.literal(forms_.marker), any});
        return grammar_.choice({calls, grammar_.except(any, marked)});
      }
      case ToolCallForms::Text::kSchema: {
        if (forms_.text_schema.empty()) return grammar_.choice({calls, text_.any_object()});
        BRISK_ASSIGN_OR_RETURN(const RuleId rule, add_schema(forms_.text_schema, SchemaStyle::kJson,
                                                             &text_, &grammar_));
        return grammar_.choice({calls, grammar_.rule(rule)});
      }
    }
    return calls;
  }

  static ByteSet spaces() {
    ByteSet set;
    for (const char c : {' ', '\t', '\n', '\r'}) set.set(static_cast<uint8_t>(c));
    return set;
  }

  const ToolCallForms& forms_;
  Grammar grammar_;
  const RuleId root_;
  JsonText text_;
};

}  // namespace

absl::StatusOr<Grammar> tool_call_grammar(const ToolCallForms& forms) {
  return ToolCallWriter(forms).run();
}

}  // namespace brisk
