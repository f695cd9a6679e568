#include "engine/grammar/gbnf.h"

#include <gmock/gmock.h>

#include "tests/engine/grammar/texts.h"

namespace brisk {
namespace {

using testing::HasSubstr;

absl::StatusOr<Grammar> of_gbnf(const std::string& text) { return gbnf_grammar(text); }

TEST(Gbnf, ReadsWhatLlamaCppDocuments) {
  check_texts(
      {
          {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "yesno"}},
          {"root ::= \"1. \" move \" \" move \"\\n\"\nmove ::= [a-h] [1-8] [+#]?",
           {"1. e4 e5\n", "1. a1 h8#\n"},
           {"1. e9 e5\n", "1. e4 e5"}},
          {"# a comment\nroot ::= (\n  \"a\" # inside\n  | \"b\"\n)+ tail\ntail ::= [^\"\\n]{2,3}",
           {"axx", "abbaxyz"},
           {"a", "xyz", "a\n\n"}},
          {"root ::= item{2} item{0,1} rest{1,}\nitem ::= \"i\"\nrest ::= \"r\"",
           {"iir", "iiirr"},
           {"ir", "ii", "iiiir"}},
          {"root ::= \"a\"\n  | \"b\"\n\n  | \"c\"", {"a", "b", "c"}, {"ab"}},
          {"root ::= [\\x41-\\x43\\u00e9]* . \"\\U0001F600\"", {"ABx😀", "éé😀"}, {"D😀A"}},
          {"root ::= \"\"", {""}, {"a"}},
          {"root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= num | \"(\" expr \")\"\nnum ::= "
           "[0-9]+",
           {"1", "1+2*3", "((1)-(2/3))"},
           {"", "1+", "(1", "())"}},
          {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aaabbb"}, {"a", "aab", "abb", "ba"}},
          {"root ::= \"a\" root | \"a\"", {"a", "aaaaaaaaaa"}, {"", "b"}},
          {"root ::= x? x? x? \"e\"\nx ::= \"a\" | \"\"", {"e", "ae", "aaae"}, {"aaaae"}},
      },
      of_gbnf);
}

TEST(Gbnf, RefusesWithTheLineAtFault) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "has no rule \"root\""},
      {"root = \"a\"", "line 1: '::='"},
      {"root ::= \"a\"\nx ::= ) \"b\"", "line 2"},
      {"root ::= \"a", "not closed"},
      {"root ::= [a", "not closed"},
      {"root ::= ( \"a\"", "not closed"},
      {"root ::= y", "has no rule \"y\""},
      {"root ::= \"a\"\nroot ::= \"b\"", "a second time"},
      {"root ::= \"\\q\"", "this escape"},
      {"root ::= [z-a]", "ends before it begins"},
      {"root ::= \"a\"{3,1}", "less than the least"},
      {"root ::= \"a\"{x}", "counts are"},
      {"root ::= <[1]>", "is expected here"},
      {"root ::= \"\xff\"", "not UTF-8"},
      {"root ::= root \"a\" | \"a\"", "left-recursive"},
      {"root ::= x root \"a\" | \"a\"\nx ::= \"b\"?", "left-recursive"},
      {"root ::= a\na ::= b\nb ::= a | \"x\"", "left-recursive"},
      {"root ::= \"a\" root", "no text satisfies"},
      {"root ::= " + std::string(300, '(') + "\"a\"" + std::string(300, ')'), "too deeply"},
      {std::string(100'000, ' '), "at most"},
  };
  for (const auto& [grammar, message] : cases) {
    EXPECT_THAT(refusal(grammar, of_gbnf), HasSubstr(message)) << grammar.substr(0, 80);
  }
}

}  // namespace
}  // namespace brisk
