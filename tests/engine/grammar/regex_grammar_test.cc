// Regular expressions: what is supported, and PCRE2 as the judge of what they mean.
#include "engine/grammar/regex_grammar.h"

#include <gmock/gmock.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <random>

#include "tests/engine/grammar/texts.h"

namespace brisk {
namespace {

using testing::HasSubstr;

absl::StatusOr<Grammar> of_regex(const std::string& text) { return regex_grammar(text); }

TEST(RegexGrammar, MatchesWholeTexts) {
  check_texts(
      {
          {"abc", {"abc"}, {"", "ab", "abcd"}},
          {"^a$", {"a"}, {"^a$", "aa"}},
          {"a|bc|", {"a", "bc", ""}, {"abc", "b"}},
          {"(a|b)*c+d?", {"c", "abacd", "ccc"}, {"", "abd", "cdd"}},
          {"a{2}b{1,}c{0,2}", {"aab", "aabbbcc"}, {"ab", "aabccc", "aa"}},
          {"[a-c0-9_]+", {"a0_", "9"}, {"", "d", "A"}},
          {"[^a-c]", {"d", "é", "😀", "\n"}, {"a", "", "dd"}},
          {"[]a]", {"]", "a"}, {"b"}},
          {"[a\\-z]", {"a", "-", "z"}, {"b"}},
          {"[a-]", {"a", "-"}, {"b"}},
          {".", {"a", "é", "😀", "\t"}, {"\n", "", "\xff"}},
          {"\\d\\w\\s", {"1a ", "9_\n"}, {"aa ", "1- "}},
          {"\\D\\W\\S", {"a-b", "é b"}, {"1-b"}},
          {"\\x41\\u00e9\\u{1F600}", {"Aé😀"}, {"A"}},
          {"\\.\\*\\/\\\\", {".*/\\"}, {"a*/\\"}},
          {"(?:a)(?<n>b)(?P<m>c)", {"abc"}, {"ab"}},
          {"a+?b*?", {"a", "ab"}, {"b"}},
          {"a{,2}{", {"a{,2}{"}, {"aa{"}},
          {"[é-ü]+", {"éü", "ê"}, {"a", "\xc3"}},
      },
      of_regex);
}

TEST(RegexGrammar, SaysWhatItDoesNotSupport) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"(?=a)b", "at byte 1: of groups only"},
      {"(a)\\1", "this escape"},
      {"\\bword", "this escape"},
      {"a++", "possessive"},
      {"a**", "needs a group"},
      {"*a", "nothing to repeat"},
      {"(a", "not closed"},
      {"a)", "without '('"},
      {"[a", "not closed"},
      {"[z-a]", "ends before it begins"},
      {"a^b", "'^' is only"},
      {"(a$)", "'$' is only"},
      {"a$b", "'$' is only"},
      {"\\", "ends with a backslash"},
      {"\\ud800", "no character"},
      {"a{3,2}", "less than its least"},
      {"a{1000000}", "further than"},
      {"[[:alpha:]]", "POSIX"},
      {"\xff", "not UTF-8"},
      {std::string(20'000, 'a'), "bytes; at most"},
      {std::string(200, '('), "too deeply"},
      {"[^\\s\\S]", "no text satisfies"},
  };
  for (const auto& [regex, message] : cases) {
    EXPECT_THAT(refusal(regex, of_regex), HasSubstr(message)) << regex;
  }
}

// PCRE2's opinion of whole texts.
class Pcre {
 public:
  explicit Pcre(const std::string& pattern) {
    int error = 0;
    size_t offset = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                          PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED, &error, &offset, nullptr);
    if (code_ != nullptr) match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Pcre() {
    if (code_ == nullptr) return;
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  Pcre(const Pcre&) = delete;
  Pcre& operator=(const Pcre&) = delete;

  bool compiles() const { return code_ != nullptr; }
  bool matches(const std::string& text) const {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, match_,
                       nullptr) >= 0;
  }

 private:
  pcre2_code* code_ = nullptr;
  pcre2_match_data* match_ = nullptr;
};

class RandomRegex {
 public:
  explicit RandomRegex(uint32_t seed) : random_(seed) {}

  std::string regex(int depth) {
    std::string text = sequence(depth);
    while (depth > 0 && below(4) == 0) text += "|" + sequence(depth);
    return text;
  }
  std::string text() {
    static const std::vector<std::string> kChars = {"a", "b", "c", "é", "1", "_", " ", "😀"};
    std::string text;
    for (size_t i = below(7); i > 0; --i) text += kChars[below(kChars.size())];
    return text;
  }

 private:
  size_t below(size_t limit) { return random_() % limit; }
  std::string sequence(int depth) {
    std::string text;
    for (size_t i = 1 + below(3); i > 0; --i) {
      static const std::vector<std::string> kRepeats = {"",  "",    "",      "*",    "+",
                                                        "?", "{2}", "{0,2}", "{1,}", "*?"};
      text += atom(depth) + kRepeats[below(kRepeats.size())];
    }
    return text;
  }
  std::string atom(int depth) {
    static const std::vector<std::string> kAtoms = {
        "a",   "b",   "é",   "[ab]",   "[^a]",  ".",   "\\d", "\\w",
        "\\s", "\\S", "\\W", "[a-c_]", "[^é1]", "\\D", "c",   "[\\d ]"};
    if (depth > 0 && below(3) == 0) return "(" + regex(depth - 1) + ")";
    return kAtoms[below(kAtoms.size())];
  }
  std::mt19937 random_;
};

TEST(RegexGrammar, AgreesWithPcreOnRandomTexts) {
  RandomRegex random(7);
  int matched = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string regex = random.regex(2);
    const Pcre pcre(regex);
    const auto grammar = compiled(regex_grammar(regex));
    ASSERT_EQ(pcre.compiles(), grammar.ok()) << regex;
    if (!grammar.ok()) continue;
    for (int j = 0; j < 60; ++j) {
      const std::string text = random.text();
      const bool expected = pcre.matches(text);
      matched += expected ? 1 : 0;
      ASSERT_EQ(accepts(*grammar, text), expected) << regex << " on " << text;
    }
  }
  EXPECT_GT(matched, 500);
}

}  // namespace
}  // namespace brisk
