#include "engine/grammar/grammar_source.h"

#include <utility>

#include "base/status.h"
#include "engine/grammar/gbnf.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/regex_grammar.h"

namespace brisk {
namespace {

absl::StatusOr<Grammar> choice_grammar(const std::vector<std::string>& choices) {
  if (choices.empty() || choices.size() > kGrammarChoicesMax) {
    return invalid_input("there must be 1 to {} choices, not {}", kGrammarChoicesMax,
                         choices.size());
  }
  Grammar grammar;
  const RuleId root = grammar.add_rule();
  std::vector<ExprId> texts;
  for (const std::string& choice : choices) texts.push_back(grammar.literal(choice));
  grammar.define(root, grammar.choice(std::move(texts)));
  return grammar;
}

}  // namespace

absl::StatusOr<Grammar> read_grammar(const GrammarSource& source) {
  switch (source.kind) {
    case GrammarSource::Kind::kJsonObject:
      return json_object_grammar();
    case GrammarSource::Kind::kJsonSchema:
      return json_schema_grammar(source.text);
    case GrammarSource::Kind::kRegex:
      return regex_grammar(source.text);
    case GrammarSource::Kind::kGbnf:
      return gbnf_grammar(source.text);
    case GrammarSource::Kind::kChoice:
      return choice_grammar(source.choices);
    case GrammarSource::Kind::kToolCalls:
      return tool_call_grammar(source.calls);
  }
  return json_object_grammar();
}

}  // namespace brisk
