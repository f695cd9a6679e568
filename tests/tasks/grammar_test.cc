#include "tasks/grammar.h"

#include <gtest/gtest.h>

#include <set>

namespace brisk::tasks {
namespace {

TEST(Expand, ChoosesEveryAlternativeAndNothingElse) {
  std::set<std::string> seen;
  for (uint64_t i = 0; i < 200; ++i) {
    Dice dice(1, i);
    seen.insert(expand("[a|b[1|2]|]-{x} {X}", {{"x", "fox"}}, dice));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"a-fox Fox", "b1-fox Fox", "b2-fox Fox", "-fox Fox"}));
}

TEST(WithArticle, KnowsVowels) {
  EXPECT_EQ(with_article("fox"), "a fox");
  EXPECT_EQ(with_article("owl"), "an owl");
}

TEST(JoinAnd, IsAsOneWrites) {
  EXPECT_EQ(join_and({"a"}), "a");
  EXPECT_EQ(join_and({"a", "b"}), "a and b");
  EXPECT_EQ(join_and({"a", "b", "c"}), "a, b and c");
}

}  // namespace
}  // namespace brisk::tasks
