// Grammars made to hurt: they end soon, with an error or with a grammar that works.
#include <gtest/gtest.h>

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "engine/grammar/grammar_source.h"
#include "engine/grammar/rule_plan.h"
#include "tests/engine/grammar/texts.h"

namespace brisk {
namespace {

std::string times(const std::string& text, int count) {
  std::string repeated;
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

struct Hostile {
  std::string name;
  std::function<absl::StatusOr<Grammar>()> parse;
};

std::vector<Hostile> hostile_grammars() {
  const auto schema = [](const std::string& text) {
    return [=] { return json_schema_grammar(text); };
  };
  const auto regex = [](const std::string& text) { return [=] { return regex_grammar(text); }; };
  const auto gbnf = [](const std::string& text) { return [=] { return gbnf_grammar(text); }; };
  std::string values;
  for (int i = 0; i < 30'000; ++i) values += (i > 0 ? "," : "") + std::to_string(i * 7919);
  std::string properties;
  for (int i = 0; i < 900; ++i) {
    properties += (i > 0 ? R"(,"p)" : R"("p)") + std::to_string(i) + R"(":{"type":"string"})";
  }
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 1'900; ++i) {
    chain += "r" + std::to_string(i) + " ::= \"a\" r" + std::to_string(i + 1) + " r" +
             std::to_string(i + 1) + "\n";
  }
  chain += "r1900 ::= \"b\"\n";
  std::string definitions;
  for (int i = 0; i < 40; ++i) {
    const std::string next = R"({"$ref":"#/$defs/d)" + std::to_string(i + 1) + R"("})";
    definitions += R"("d)" + std::to_string(i) + R"(":{"properties":{"a":)" + next + R"(,"b":)" +
                   next + R"(}},)";
  }
  definitions += R"("d40":{"type":"null"})";
  return {
      {"a deep schema", schema(times(R"({"items":)", 60) + "{}" + times("}", 60))},
      {"a deeper schema", schema(times(R"({"items":)", 6000) + "{}" + times("}", 6000))},
      {"many values", schema(R"({"enum":[)" + values + "]}")},
      {"many properties", schema(R"({"properties":{)" + properties + "}}")},
      {"a tree of references", schema(R"({"$defs":{)" + definitions + R"(},"$ref":"#/$defs/d0"})")},
      {"alternatives times alternatives",
       schema(R"({"allOf":[)" +
              times(R"({"anyOf":[{"minimum":1},{"maximum":2},{"minimum":3}]},)", 12) + "{}]}")},
      {"a reference to itself, merged",
       schema(
           R"({"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"},{"minimum":1}]}},"$ref":"#/$defs/a"})")},
      {"long strings", schema(R"({"type":"string","maxLength":1000000})")},
      {"many long strings",
       schema(R"({"type":"array","items":{"type":"string","maxLength":9999},"maxItems":9999})")},
      {"large bounds", schema(R"({"type":"number","minimum":1e39,"maximum":1e40})")},
      {"counts of counts", regex("((((a{1000}){1000}){1000}){1000}){1000}")},
      {"an exponential automaton", regex("(a|b)*a" + times("(a|b)", 30))},
      {"nested repetitions", regex(times("(", 90) + "a" + times("*)", 90) + "b")},
      {"classes", regex(times("[^a]", 4000))},
      {"a class with an end in sight", regex("(.*a){20}.*")},
      {"a chain of rules", gbnf(chain)},
      {"rules that begin with each other", gbnf("root ::= a\na ::= b \"x\"\nb ::= a | \"y\"\n")},
      {"optional groups", gbnf("root ::= " + times("(\"a\"? ", 90) + times(")*", 90))},
      {"an ambiguous grammar",
       gbnf("root ::= e\ne ::= \"1\" t*\nt ::= \"+\" e | \"+\" e t | \"+\" t t\n")},
      {"names without end", gbnf("root ::= " + times("a", 60'000))},
  };
}

TEST(HostileGrammar, EndsSoon) {
  for (const Hostile& hostile : hostile_grammars()) {
    SCOPED_TRACE(hostile.name);
    const auto begin = std::chrono::steady_clock::now();
    const auto grammar = compiled(hostile.parse());
    if (grammar.ok()) {
      GrammarMatcher matcher(*grammar);
      std::vector<uint64_t> mask(mask_words(256));
      for (int step = 0; step < 20 && matcher.mask(mask).ok(); ++step) {
        int32_t token = 0;
        while (token < 256 && !mask_has(mask, token)) ++token;
        if (token == 256 || !matcher.accept(token).ok()) break;
      }
    } else {
      EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument);
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(taken.count(), 20) << "seconds";
    std::printf(
        "  %-34s %7.0f ms  %s\n", hostile.name.c_str(), taken.count() * 1e3,
        grammar.ok() ? "works" : std::string(message_of(grammar.status())).substr(0, 90).c_str());
  }
}

// Each rule refers to the next: looking at them took a stack frame or two for each.
TEST(HostileGrammar, ALongChainOfRulesNeedsNoStack) {
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 1'900; ++i) {
    chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
  }
  chain += "r1900 ::= \"x\"\n";
  const auto grammar = gbnf_grammar(chain);
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, size_t{128} << 10);
  struct Work {
    const Grammar* grammar;
    RulePlan plan;
  } work = {.grammar = &*grammar, .plan = {}};
  pthread_t thread;
  const auto run = [](void* given) -> void* {
    auto* const mine = static_cast<Work*>(given);
    mine->plan = plan_rules(*mine->grammar);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &small, run, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&small);
  EXPECT_TRUE(std::ranges::all_of(work.plan.is_possible, [](bool possible) { return possible; }));
}

TEST(HostileGrammar, ChoicesHaveALimit) {
  GrammarSource source{.kind = GrammarSource::Kind::kChoice};
  EXPECT_FALSE(read_grammar(source).ok());
  source.choices.assign(kGrammarChoicesMax + 1, "a");
  EXPECT_FALSE(read_grammar(source).ok());
  source.choices = {"yes", "no", "yes"};
  const auto grammar = compiled(read_grammar(source));
  ASSERT_TRUE(grammar.ok());
  EXPECT_TRUE(accepts(*grammar, "yes"));
  EXPECT_FALSE(accepts(*grammar, "yesno"));
}

}  // namespace
}  // namespace brisk
