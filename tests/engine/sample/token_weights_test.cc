#include "engine/sample/token_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace brisk {
namespace {

TEST(ExpOfDifferences, IsWithinItsErrorEverywhere) {
  std::vector<float> logits;
  for (int i = 0; i <= 870'000; ++i) logits.push_back(static_cast<float>(-i * 1e-4));
  std::vector<float> weights(logits.size());
  exp_of_differences(logits, 0, 1, weights);
  EXPECT_EQ(weights[0], 1.0f);
  double worst = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < -87) continue;
    const double exact = std::exp(static_cast<double>(logits[i]));
    worst = std::max(worst, std::abs(static_cast<double>(weights[i]) / exact - 1));
  }
  EXPECT_LT(worst, 0x1p-21);
}

TEST(ExpOfDifferences, IsZeroForTheImpossible) {
  const std::vector<float> logits = {-std::numeric_limits<float>::infinity(), -1000, -3.4e38f, 3};
  std::vector<float> weights(4);
  exp_of_differences(logits, 3, 1, weights);
  EXPECT_EQ(weights, (std::vector<float>{0, 0, 0, 1}));
}

TEST(RangeOf, IgnoresImpossibleTokensForTheLowest) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> logits(40, -inf);
  EXPECT_EQ(range_of(logits).highest, -inf);
  logits[39] = 4;
  logits[7] = -3;
  EXPECT_EQ(range_of(logits).highest, 4);
  EXPECT_EQ(range_of(logits).lowest, -3);
  EXPECT_FALSE(range_of(logits).is_broken);
}

}  // namespace
}  // namespace brisk
