#include "compress/evaluate/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace brisk {
namespace {

TEST(Bootstrap, IsTheRatioOfSumsAndNotTheMeanOfRatios) {
  const std::vector<double> nats = {10, 2}, tokens = {10, 1};
  EXPECT_DOUBLE_EQ(bootstrap_ratio(nats, tokens, 1).value, 12.0 / 11);
}

TEST(Bootstrap, OneUnitHasNoInterval) {
  const std::vector<double> one = {3};
  EXPECT_FALSE(bootstrap_ratio(one, one, 1).interval.has_value());
}

TEST(Bootstrap, UnitsThatAgreeLeaveNoDoubt) {
  const std::vector<double> nats(50, 6), tokens(50, 3);
  const Estimate estimate = bootstrap_ratio(nats, tokens, 1);
  EXPECT_DOUBLE_EQ(estimate.value, 2);
  EXPECT_DOUBLE_EQ(estimate.interval->low, 2);
  EXPECT_DOUBLE_EQ(estimate.interval->high, 2);
}

TEST(Bootstrap, IsAFunctionOfTheSeed) {
  std::vector<double> values, ones(30, 1);
  Rng rng(5);
  for (int i = 0; i < 30; ++i) values.push_back(rng.next_gaussian());
  const auto a = bootstrap_ratio(values, ones, 1), b = bootstrap_ratio(values, ones, 1),
             c = bootstrap_ratio(values, ones, 2);
  EXPECT_EQ(a.interval->low, b.interval->low);
  EXPECT_EQ(a.interval->high, b.interval->high);
  EXPECT_NE(a.interval->low, c.interval->low);
}

// The mean of n values of deviation s lies within 1.96 s / sqrt(n).
TEST(Bootstrap, IsAsWideAsTheNormalIntervalOfAMean) {
  constexpr int kUnits = 10'000;  // more than are drawn one by one
  std::vector<double> values, ones(kUnits, 1);
  Rng rng(7);
  for (int i = 0; i < kUnits; ++i) values.push_back(5 + 2 * rng.next_gaussian());
  const Estimate estimate = bootstrap_ratio(values, ones, 1);
  const double half = 1.96 * 2 / std::sqrt(kUnits);
  EXPECT_NEAR(estimate.interval->high - estimate.interval->low, 2 * half, 0.2 * half);
  EXPECT_NEAR((estimate.interval->high + estimate.interval->low) / 2, estimate.value, 0.2 * half);
}

TEST(Bootstrap, HoldsTheTruthAboutNineteenTimesInTwenty) {
  constexpr int kTexts = 400, kUnits = 60;
  Rng rng(11);
  int held = 0;
  for (int text = 0; text < kTexts; ++text) {
    std::vector<double> nats, tokens;
    for (int i = 0; i < kUnits; ++i) {
      tokens.push_back(50 + 50 * rng.next_uniform());
      nats.push_back(tokens.back() * (2 + 0.5 * rng.next_gaussian()));  // 2 a token in truth
    }
    const tasks::Interval interval = *bootstrap_ratio(nats, tokens, 1).interval;
    held += interval.low <= 2 && 2 <= interval.high ? 1 : 0;
  }
  // 95 %, a little less for so few units; the deviation of the count is 4.4.
  EXPECT_GT(held, kTexts * 90 / 100);
  EXPECT_LT(held, kTexts * 98 / 100);
}

}  // namespace
}  // namespace brisk
