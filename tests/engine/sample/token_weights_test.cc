#include "engine/sample/token_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "compute/kernels/cpu/dispatch.h"

namespace brisk {
namespace {

const KernelTable& kernels() { return *usable_kernels().front(); }

TEST(Scan, FindsTheHighestLogitOfEachBlock) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> logits(600, -inf), maxima;
  EXPECT_EQ(scan(kernels(), logits, &maxima).highest, -inf);
  logits[599] = 4;
  logits[7] = -3;
  const ScannedLogits row = scan(kernels(), logits, &maxima);
  EXPECT_EQ(row.highest, 4);
  EXPECT_FALSE(row.is_broken);
  EXPECT_EQ(maxima, (std::vector<float>{-3, -inf, 4}));
  EXPECT_EQ(most_probable(row), 599);
}

TEST(Heaviest, FindsNoLessThanAsked) {
  std::vector<float> logits(3000), maxima;
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 37 % 1000);
  const ScannedLogits row = scan(kernels(), logits, &maxima);
  WeightScratch scratch;
  for (const size_t count : {1, 5, 12, 13, 3000}) {
    const auto found = heaviest(kernels(), row, count, &scratch);
    EXPECT_GE(found.size(), count);
    float least = 1000;
    for (const int32_t token : found) least = std::min(least, logits[static_cast<size_t>(token)]);
    EXPECT_EQ(std::ranges::count_if(logits, [&](float x) { return x >= least; }),
              std::ssize(found));
  }
}

// Equal weights sum without rounding, so the token is known for every u.
TEST(TokenWeights, DrawsExactlyWhereTheRunningSumPasses) {
  constexpr size_t kVocab = 10'007;
  const std::vector<float> logits(kVocab, 1.5f);
  std::vector<float> maxima;
  WeightScratch scratch;
  TokenWeights weights(kernels(), scan(kernels(), logits, &maxima), 1, &scratch);
  for (size_t i = 0; i < kVocab; ++i) {
    const double u = (static_cast<double>(i) + 0.5) / kVocab;
    ASSERT_EQ(weights.draw(u), static_cast<int32_t>(i));
  }
  EXPECT_EQ(weights.draw(0), 0);
  EXPECT_EQ(weights.draw(1 - 0x1p-53), static_cast<int32_t>(kVocab - 1));
}

TEST(TokenWeights, DrawsNothingThatWasCutOffWhateverTheRounding) {
  std::vector<float> logits(5000, 0.1f), maxima;
  for (size_t i = 300; i < 310; ++i) logits[i] = 5 + 0.1f * static_cast<float>(i % 3);
  WeightScratch scratch;
  TokenWeights weights(kernels(), scan(kernels(), logits, &maxima), 0.7, &scratch);
  weights.keep_heaviest(10);
  EXPECT_EQ(weights.draw(0), 300);
  EXPECT_EQ(weights.draw(1 - 0x1p-53), 309);
}

}  // namespace
}  // namespace brisk
