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

// Equal weights sum without rounding, so the token is known for every u.
TEST(TokenWeights, DrawsExactlyWhereTheRunningSumPasses) {
  constexpr size_t kVocab = 10'007;
  const std::vector<float> logits(kVocab, 1.5f);
  WeightScratch scratch;
  const TokenWeights weights(logits, range_of(logits), 1, &scratch);
  for (size_t i = 0; i < kVocab; ++i) {
    const double u = (static_cast<double>(i) + 0.5) / kVocab;
    ASSERT_EQ(weights.draw(u), static_cast<int32_t>(i));
  }
  EXPECT_EQ(weights.draw(0), 0);
  EXPECT_EQ(weights.draw(1 - 0x1p-53), static_cast<int32_t>(kVocab - 1));
}

}  // namespace
}  // namespace brisk
