#include "plan/load/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/json.h"
#include "plan/load/arrivals.h"
#include "plan/load/prompt_writer.h"

namespace brisk {
namespace {

using testing::ElementsAre;

struct Moments {
  double mean = 0;
  double variation = 0;  // standard deviation by mean
};

Moments gaps_of(const std::vector<double>& arrivals) {
  double sum = 0, squares = 0, before = 0;
  for (const double at : arrivals) {
    const double gap = at - before;
    before = at;
    sum += gap;
    squares += gap * gap;
  }
  const auto count = static_cast<double>(arrivals.size());
  const double mean = sum / count;
  return {mean, std::sqrt(squares / count - mean * mean) / mean};
}

TEST(Arrivals, HaveTheRateAndTheBurstinessAskedFor) {
  // Gaps of a gamma distribution with shape b vary by 1 / sqrt(b).
  for (const double burstiness : {0.25, 0.5, 1.0, 4.0, 100.0}) {
    const auto arrivals =
        draw_arrivals({.rate = 20, .burstiness = burstiness, .count = 200000, .seed = 3});
    const Moments gaps = gaps_of(arrivals);
    EXPECT_NEAR(gaps.mean, 0.05, 0.05 * 0.02) << burstiness;
    EXPECT_NEAR(gaps.variation, 1 / std::sqrt(burstiness), 0.02 / std::sqrt(burstiness))
        << burstiness;
    EXPECT_TRUE(std::is_sorted(arrivals.begin(), arrivals.end()));
  }
}

TEST(Arrivals, PoissonGapsAreExponential) {
  const auto arrivals = draw_arrivals({.rate = 1, .burstiness = 1, .count = 100000, .seed = 1});
  int longer = 0;
  double before = 0;
  for (const double at : arrivals) {
    if (at - before > 2) ++longer;
    before = at;
  }
  EXPECT_NEAR(longer / 1e5, std::exp(-2), 0.004);
}

TEST(Arrivals, AreAFunctionOfTheSeed) {
  const ArrivalOptions options = {.rate = 5, .burstiness = 0.5, .count = 50, .seed = 7};
  EXPECT_EQ(draw_arrivals(options), draw_arrivals(options));
  ArrivalOptions other = options;
  other.seed = 8;
  EXPECT_NE(draw_arrivals(options), draw_arrivals(other));
}

TEST(Workload, DrawsLengthsFromTheirRanges) {
  const Workload workload = make_workload(
      {.requests = 2000, .prompt = {10, 12}, .output = {1, 2}, .trace = {}, .seed = 1});
  std::set<int64_t> prompts, outputs;
  for (const LoadRequest& request : workload.requests) {
    prompts.insert(prompt_tokens(request));
    outputs.insert(request.output_tokens);
  }
  EXPECT_THAT(prompts, ElementsAre(10, 11, 12));
  EXPECT_THAT(outputs, ElementsAre(1, 2));
  EXPECT_FALSE(workload.open_loop);
}

std::string text_of(const LoadRequest& request, uint64_t seed) {
  std::string text;
  PromptAlphabet::ids_below(30000).append(text, request.prompt, seed);
  return text;
}

TEST(Workload, SharesThePrefixAndNothingElse) {
  const Workload workload = make_workload({.requests = 2,
                                           .prompt = {16, 16},
                                           .shared_prefix_tokens = 16,
                                           .trace = {},
                                           .rate = 3,
                                           .seed = 1});
  EXPECT_TRUE(workload.open_loop);
  const Json first = Json::parse(text_of(workload.requests[0], 1));
  const Json second = Json::parse(text_of(workload.requests[1], 1));
  ASSERT_EQ(first.size(), 32);
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(first[i], second[i]);
  int same = 0;
  for (size_t i = 16; i < 32; ++i) same += first[i] == second[i] ? 1 : 0;
  EXPECT_LT(same, 3);
}

TEST(Workload, EqualBlocksOfATraceHaveEqualTokens) {
  const std::vector<TraceRow> trace = {
      {.at_s = 0, .prompt_tokens = 1100, .output_tokens = 9, .blocks = {0, 5, 6}},
      {.at_s = 2, .prompt_tokens = 1200, .output_tokens = 0, .blocks = {0, 5, 7}},
      {.at_s = 3, .prompt_tokens = 600, .output_tokens = 3, .blocks = {0}}};
  const Workload workload = make_workload({.requests = 10,
                                           .trace = trace,
                                           .time_scale = 0.5,
                                           .length_scale = 1,
                                           .trace_times = true,
                                           .seed = 4});
  ASSERT_EQ(workload.requests.size(), 3);
  EXPECT_TRUE(workload.open_loop);
  EXPECT_DOUBLE_EQ(workload.requests[1].at_s, 1);
  EXPECT_EQ(workload.requests[1].output_tokens, 1) << "nothing asks for no output";
  EXPECT_EQ(prompt_tokens(workload.requests[2]), 600) << "also where the blocks end early";
  const Json first = Json::parse(text_of(workload.requests[0], 4));
  const Json second = Json::parse(text_of(workload.requests[1], 4));
  ASSERT_EQ(first.size(), 1100);
  ASSERT_EQ(second.size(), 1200);
  for (size_t i = 0; i < 1024; ++i) ASSERT_EQ(first[i], second[i]) << i;
  EXPECT_NE(first[1024], second[1024]);
}

TEST(Workload, ScalesTheLengthsOfATraceAndItsBlocks) {
  const Workload workload = make_workload(
      {.requests = 1,
       .trace = {{.at_s = 0, .prompt_tokens = 1100, .output_tokens = 100, .blocks = {1, 2, 3}}},
       .length_scale = 0.125});
  const LoadRequest& request = workload.requests[0];
  EXPECT_EQ(prompt_tokens(request), 138);
  EXPECT_EQ(request.prompt[0].tokens, 64);
  EXPECT_EQ(request.output_tokens, 13);
}

TEST(Workload, ReadsLengths) {
  EXPECT_EQ(parse_length_range("128")->max, 128);
  EXPECT_EQ(parse_length_range("10-20")->min, 10);
  EXPECT_EQ(parse_length_range("10-20")->max, 20);
  for (const char* text : {"", "0", "-5", "5-", "20-10", "1e3", "10-20-30", "99999999999"}) {
    EXPECT_FALSE(parse_length_range(text).ok()) << text;
  }
}

TEST(PromptWriter, WordsAreSafeInJson) {
  std::string text;
  PromptAlphabet::of_words().append(text, {{.content = 3, .tokens = 500}}, 9);
  const std::string words = Json::parse(text);
  EXPECT_EQ(std::count(words.begin(), words.end(), ' '), 499);
  std::string small;
  PromptAlphabet::ids_below(1).append(small, {{.content = 3, .tokens = 2}}, 9);
  EXPECT_EQ(small, "[0,0]");
}

}  // namespace
}  // namespace brisk
