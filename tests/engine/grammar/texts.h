// Grammars under test, asked about whole texts byte by byte.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/grammar/compiled_grammar.h"
#include "engine/grammar/gbnf.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/regex_grammar.h"

namespace brisk {

// Every byte is a token.
inline std::shared_ptr<const TokenTrie> byte_vocabulary() {
  static const auto kVocabulary = [] {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    return std::make_shared<const TokenTrie>(std::move(tokens));
  }();
  return kVocabulary;
}

inline absl::StatusOr<std::shared_ptr<const CompiledGrammar>> compiled(
    const absl::StatusOr<Grammar>& grammar,
    std::shared_ptr<const TokenTrie> vocabulary = byte_vocabulary()) {
  if (!grammar.ok()) return grammar.status();
  return compile_grammar(*grammar, std::move(vocabulary));
}

inline bool begins(const std::shared_ptr<const CompiledGrammar>& grammar, std::string_view text) {
  return GrammarMatcher(grammar).accept(text).ok();
}

inline bool accepts(const std::shared_ptr<const CompiledGrammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar);
  return (text.empty() || matcher.accept(text).ok()) && matcher.is_complete();
}

struct TextCase {
  std::string grammar;
  std::vector<std::string> accepted;
  std::vector<std::string> rejected;
};

// `parse` makes a grammar of the case's.
template <class Parse>
void check_texts(const std::vector<TextCase>& cases, Parse parse) {
  for (const TextCase& one : cases) {
    SCOPED_TRACE(one.grammar);
    const auto grammar = compiled(parse(one.grammar));
    EXPECT_TRUE(grammar.ok()) << message_of(grammar.status());
    if (!grammar.ok()) continue;
    for (const std::string& text : one.accepted) EXPECT_TRUE(accepts(*grammar, text)) << text;
    for (const std::string& text : one.rejected) EXPECT_FALSE(accepts(*grammar, text)) << text;
  }
}

// The error that a grammar is refused with; empty: it is not.
template <class Parse>
std::string refusal(const std::string& text, Parse parse) {
  const auto grammar = compiled(parse(text));
  return grammar.ok() ? "" : std::string(message_of(grammar.status()));
}

}  // namespace brisk
