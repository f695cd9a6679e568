// Masks against trying every token byte by byte.
#include "engine/grammar/token_mask.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/engine/grammar/texts.h"

namespace brisk {
namespace {

// Sets `is_ambiguous` where the grammar is too much so.
std::vector<uint64_t> tried_one_by_one(const GrammarMatcher& matcher, const TokenTrie& vocabulary,
                                       bool* is_ambiguous) {
  std::vector<uint64_t> mask(mask_words(vocabulary.vocab_size()));
  for (int32_t token = 0; token < vocabulary.vocab_size(); ++token) {
    const absl::Status status = GrammarMatcher(matcher).accept(token);
    if (status.ok()) mask_add(mask, token);
    if (absl::IsResourceExhausted(status)) *is_ambiguous = true;
  }
  return mask;
}

std::vector<uint64_t> mask_of(GrammarMatcher* matcher, const TokenTrie& vocabulary) {
  std::vector<uint64_t> mask(mask_words(vocabulary.vocab_size()), ~uint64_t{0});
  EXPECT_TRUE(matcher->mask(mask).ok());
  return mask;
}

std::vector<int32_t> tokens_in(const std::vector<uint64_t>& mask) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < mask.size() * 64; ++i) {
    if (mask_has(mask, static_cast<int32_t>(i))) tokens.push_back(static_cast<int32_t>(i));
  }
  return tokens;
}

// Grammars of a few rules over a few letters, recursive or not.
std::string random_gbnf(std::mt19937* random) {
  const auto below = [&](size_t limit) { return (*random)() % limit; };
  static const std::vector<std::string> kAtoms = {"\"a\"",          "\"b\"", "\"ab\"", "[ab]",
                                                  "[^a]",           "r0",    "r1",     "r2",
                                                  "\"(\" r1 \")\"", "\"é\"", "r1?"};
  static const std::vector<std::string> kRepeats = {"", "", "", "*", "?", "+", "{0,2}"};
  std::string text = "root ::= r0 r1\n";
  for (int rule = 0; rule < 3; ++rule) {
    text += "r" + std::to_string(rule) + " ::= ";
    for (size_t i = 0; i <= below(3); ++i) {
      if (i > 0) text += " | ";
      text += "[a-c]";
      for (size_t j = below(3); j > 0; --j) {
        text += " " + kAtoms[below(kAtoms.size())] + kRepeats[below(kRepeats.size())];
      }
    }
    text += "\n";
  }
  return text;
}

std::shared_ptr<const TokenTrie> random_vocabulary(std::mt19937* random) {
  const auto below = [&](size_t limit) { return (*random)() % limit; };
  static const std::vector<std::string> kPieces = {"a", "b",    "c",    "(", ")",
                                                   "é", "\xc3", "\xa9", "d"};
  std::vector<std::string> tokens{""};
  for (int i = 0; i < 150; ++i) {
    std::string token;
    for (size_t j = 1 + below(4); j > 0; --j) token += kPieces[below(kPieces.size())];
    tokens.push_back(token);  // some twice
  }
  return std::make_shared<const TokenTrie>(tokens);
}

TEST(TokenMask, EqualsTryingEveryToken) {
  std::mt19937 random(11);
  int grammars = 0;
  int positions = 0;
  for (int i = 0; i < 300; ++i) {
    const auto vocabulary = random_vocabulary(&random);
    const std::string text = random_gbnf(&random);
    const auto grammar = compiled(gbnf_grammar(text), vocabulary);
    if (!grammar.ok()) continue;
    ++grammars;
    GrammarMatcher matcher(*grammar);
    for (int step = 0; step < 12; ++step) {
      bool is_ambiguous = false;
      const auto tried = tried_one_by_one(matcher, *vocabulary, &is_ambiguous);
      if (is_ambiguous) break;
      const auto mask = mask_of(&matcher, *vocabulary);
      ASSERT_EQ(tokens_in(mask), tokens_in(tried)) << text;
      ++positions;
      const std::vector<int32_t> tokens = tokens_in(mask);
      if (tokens.empty()) break;
      ASSERT_TRUE(matcher.accept(tokens[random() % tokens.size()]).ok());
    }
  }
  EXPECT_GT(grammars, 100);
  EXPECT_GT(positions, 1000);
}

TEST(TokenMask, TokensMayEndSeveralRulesAtOnce) {
  const auto vocabulary = std::make_shared<const TokenTrie>(std::vector<std::string>{
      "{\"", "a", "\":", "\": [{\"", "1", "}", "}]", "}]}", "}]}]}", ",", " ", "\"", "}}"});
  const auto grammar = compiled(absl::StatusOr<Grammar>(json_object_grammar()), vocabulary);
  ASSERT_TRUE(grammar.ok());
  GrammarMatcher matcher(*grammar);
  for (const int32_t token : {0, 1, 3, 1, 2, 4}) ASSERT_TRUE(matcher.accept(token).ok());
  // {"a": [{"a":1
  EXPECT_EQ(tokens_in(mask_of(&matcher, *vocabulary)), (std::vector<int32_t>{4, 5, 6, 7, 9}));
  ASSERT_TRUE(matcher.accept(7).ok());
  EXPECT_TRUE(matcher.is_complete());
  EXPECT_TRUE(matcher.must_end());
  EXPECT_TRUE(tokens_in(mask_of(&matcher, *vocabulary)).empty());
}

TEST(TokenMask, TokensWithoutBytesAreNeverAllowed) {
  const auto vocabulary =
      std::make_shared<const TokenTrie>(std::vector<std::string>{"", "a", "", "b"});
  const auto grammar = compiled(regex_grammar(".*"), vocabulary);
  ASSERT_TRUE(grammar.ok());
  GrammarMatcher matcher(*grammar);
  EXPECT_EQ(tokens_in(mask_of(&matcher, *vocabulary)), (std::vector<int32_t>{1, 3}));
  EXPECT_FALSE(matcher.accept(0).ok());
  EXPECT_FALSE(matcher.accept(4).ok());
  EXPECT_FALSE(matcher.accept(-1).ok());
}

TEST(GrammarMatcher, CopiesGoOnByThemselves) {
  const auto grammar = compiled(absl::StatusOr<Grammar>(json_object_grammar()));
  ASSERT_TRUE(grammar.ok());
  GrammarMatcher one(*grammar);
  ASSERT_TRUE(one.accept(R"({"a":[1)").ok());
  GrammarMatcher other = one;
  EXPECT_FALSE(other.accept("}").ok()) << "and nothing changes";
  ASSERT_TRUE(other.accept("]}").ok());
  EXPECT_TRUE(other.is_complete());
  EXPECT_FALSE(one.is_complete());
  ASSERT_TRUE(one.accept(",2]").ok());
}

TEST(GrammarMatcher, SaysWhenATextCanBeReadInTooManyWays) {
  const auto grammar =
      compiled(gbnf_grammar("root ::= s\ns ::= \"a\" s s | \"a\" s \"b\" | \"a\" s | \"a\"\n"));
  ASSERT_TRUE(grammar.ok());
  GrammarMatcher matcher(*grammar);
  absl::Status status;
  for (int i = 0; i < 200 && status.ok(); ++i) status = matcher.accept("a");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

}  // namespace
}  // namespace brisk
