#include "compress/prune/masks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "compress/prune/prune.h"

namespace brisk {
namespace {

TEST(PruneRow, RemovesTheShareWithTheLowestScores) {
  std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  prune_row({.sparsity = 0.5}, std::vector<float>{6, 1, 5, 2, 4, 3}, weights);
  EXPECT_EQ(weights, (std::vector<float>{1, 0, 3, 0, 5, 0}));
}

TEST(PruneRow, KeepsSomeOfEveryGroupAndTheShareOfWhatIsLeftAtTheEnd) {
  std::vector<float> weights = {1, 1, 1, 1, 1, 1, 1};
  prune_row({.sparsity = 0.5, .keep = 2, .group = 4}, std::vector<float>{4, 3, 2, 1, 1, 2, 3},
            weights);
  EXPECT_EQ(weights, (std::vector<float>{1, 1, 0, 0, 0, 1, 1}));
}

TEST(PruneRow, OfEqualScoresTheLaterGoesFirst) {
  std::vector<float> weights = {1, 2, 3, 4};
  prune_row({.sparsity = 0.5}, std::vector<float>(4, 0.0f), weights);
  EXPECT_EQ(weights, (std::vector<float>{1, 2, 0, 0}));
}

TEST(ExactQuantile, IsWhatSortingGives) {
  Rng rng(1);
  std::vector<float> values(5000);
  for (float& value : values) {
    value = static_cast<float>(rng.next_gaussian());
    if (rng.next_below(4) == 0) value = 0.5f;  // many equal ones
  }
  std::vector<float> sorted;
  for (const float value : values) sorted.push_back(std::abs(value));
  std::sort(sorted.begin(), sorted.end());
  for (const double share : {0.0, 0.1, 0.35, 0.5, 0.9}) {
    ExactQuantile quantile;
    quantile.add(values);
    quantile.refine(share);
    quantile.add(values);
    const auto count = static_cast<size_t>(std::llround(share * 5000));
    EXPECT_EQ(quantile.threshold(), sorted[count]) << share;
    const auto below = std::lower_bound(sorted.begin(), sorted.end(), sorted[count]);
    EXPECT_EQ(quantile.equal_that_go(), static_cast<int64_t>(count) - (below - sorted.begin()));
  }
}

TEST(ParseSparsity, ReadsSharesAndGroups) {
  EXPECT_EQ(parse_sparsity("0.7")->sparsity, 0.7);
  EXPECT_EQ(parse_sparsity("2:4")->keep, 2);
  EXPECT_EQ(parse_sparsity("4:8")->group, 8);
  for (const char* wrong : {"", "1", "-0.1", "0.5x", "4:4", "0:4", "2:", ":4", "2:400", "nan"}) {
    EXPECT_FALSE(parse_sparsity(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace brisk
