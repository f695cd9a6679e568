#include "compress/recipe/recipe.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace brisk {
namespace {

TEST(Recipe, StepsKeepTheirOrderAndTheirFlags) {
  const auto recipe = parse_recipe(R"(
[[step]]
run = "prune"
channels = 0.5
layers = 2
calibration = "a b.jsonl"

[[step]]
run = "distill"
data = ["x.jsonl", "y.jsonl:2"]
teacher = "{in}"
validation = "{work}/v-{in}.jsonl"
mask-zeros = true
learn-prompts = false
lr = 3e-4

[gate]
max-kl = 0.25
)",
                                   "r.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  ASSERT_EQ(recipe->steps.size(), 2);
  EXPECT_EQ(recipe->steps[0].command, "prune");
  const std::vector<std::pair<std::string, std::string>> places = {{"{in}", "m"}, {"{work}", "/w"}};
  EXPECT_EQ(command_line_of(recipe->steps[0].flags, places),
            (std::vector<std::string>{"--calibration=a b.jsonl", "--channels=0.5", "--layers=2"}));
  EXPECT_EQ(recipe->steps[1].command, "distill");
  EXPECT_EQ(command_line_of(recipe->steps[1].flags, places),
            (std::vector<std::string>{"--data=x.jsonl", "--data=y.jsonl:2", "--lr=0.0003",
                                      "--mask-zeros", "--teacher=m", "--validation=/w/v-m.jsonl"}));
  EXPECT_EQ(command_line_of(recipe->gate, places), (std::vector<std::string>{"--max-kl=0.25"}));
}

// What the name of a model holds is not looked at again.
TEST(Recipe, PlacesAreFilledOnce) {
  EXPECT_EQ(command_line_of({{.name = "a", .values = {"{in}/{work}"}}},
                            {{"{in}", "{work}"}, {"{work}", "{in}"}}),
            (std::vector<std::string>{"--a={work}/{in}"}));
}

TEST(Recipe, ErrorsSayWhere) {
  const struct {
    const char* text;
    const char* said;
  } cases[] = {
      {"", "r.toml: has no [[step]]"},
      {"[[step]]\nrun = ", "r.toml: line 2"},
      {"[[step]]\nlayers = 2", "step 1: run: must name a command"},
      {"[[step]]\nrun = 3", "step 1: run: must name a command"},
      {"[[step]]\nrun = ''", "step 1: run: must name a command"},
      {"step = [3]", "step 1: must be a table"},
      {"[step]\nrun = 'prune'", "\"step\": a recipe has [[step]] tables"},
      {"steps = 1", "\"steps\": a recipe has [[step]] tables"},
      {"[[step]]\nrun = 'a'\n[[step]]\nrun = 'b'\nx = {y = 1}", "step 2: x: must be a string"},
      {"[[step]]\nrun = 'a'\nx = [[1]]", "step 1: x: must be a string"},
      {"[[step]]\nrun = 'a'\nx = []", "step 1: x: an array of 1 to 1000 values"},
      {"[[step]]\nrun = 'a'\nx = nan", "step 1: x: must be a string"},
      {"[[step]]\nrun = 'a'\nx = 2020-01-01", "step 1: x: must be a string"},
      {"[[step]]\nrun = 'a'\nx = [true]", "step 1: x: must be a string"},
      {"[[step]]\nrun = 'a'\nx = \"\\u0000\"", "step 1: x: has a zero byte"},
      {"[[step]]\nrun = 'a'\nmax_kl = 1", "\"max_kl\" is not the name of a flag"},
      {"[[step]]\nrun = 'a'\n\"-x\" = 1", "\"-x\" is not the name of a flag"},
      {"[[step]]\nrun = 'a'\n\"x=y\" = 1", "\"x=y\" is not the name of a flag"},
      {"[[step]]\nrun = 'a'\n[gate]\nmax-kl = {}", "gate: max-kl: must be a string"},
  };
  for (const auto& each : cases) {
    const auto recipe = parse_recipe(each.text, "r.toml");
    ASSERT_FALSE(recipe.ok()) << each.text;
    EXPECT_NE(message_of(recipe.status()).find(each.said), std::string::npos) << each.text << "\n"
                                                                              << recipe.status();
  }
}

}  // namespace
}  // namespace brisk
