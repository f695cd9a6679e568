// What a request demands of its answer, in the words of the user.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar/grammar.h"
#include "engine/grammar/tool_call_grammar.h"

namespace brisk {

inline constexpr size_t kGrammarChoicesMax = 4'096;

struct GrammarSource {
  enum class Kind : uint8_t {
    kJsonObject,  // any JSON object
    kJsonSchema,  // json_schema.h
    kRegex,       // regex_grammar.h
    kGbnf,        // gbnf.h
    kChoice,      // one of `choices`
    kToolCalls,   // `calls`
  };
  Kind kind = Kind::kJsonObject;
  std::string text{};
  std::vector<std::string> choices{};
  ToolCallForms calls{};

  friend bool operator==(const GrammarSource&, const GrammarSource&) = default;
  template <class H>
  friend H AbslHashValue(H hash, const GrammarSource& source) {
    return H::combine(std::move(hash), source.kind, source.text, source.choices, source.calls);
  }
};

// Errors: InvalidArgument, saying what is wrong with the text and where.
absl::StatusOr<Grammar> read_grammar(const GrammarSource& source);

}  // namespace brisk
