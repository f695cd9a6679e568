#include "compress/quantize/mixed.h"

#include <gtest/gtest.h>

namespace brisk {
namespace {

MixedMatrix matrix(int64_t values, double kl) {
  MixedMatrix made;
  made.values = values;
  made.formats = {
      {DType::kQ4_0, 4.5, kl}, {DType::kQ5_0, 5.5, kl / 4}, {DType::kQ8_0, 8.5, kl / 256}};
  return made;
}

TEST(SpreadBits, GivesMoreToWhatMattersMore) {
  std::vector<MixedMatrix> matrices = {matrix(1000, 0.001), matrix(1000, 0.1), matrix(1000, 0.01)};
  ASSERT_TRUE(spread_bits(4.9, matrices).ok());  // 1,200 bits beyond the coarsest
  EXPECT_EQ(matrices[0].chosen, 0u);
  EXPECT_EQ(matrices[1].chosen, 1u);
  EXPECT_EQ(matrices[2].chosen, 0u);
}

TEST(SpreadBits, UsesTheWholeBudgetAndNeverMore) {
  for (double bits = 4.5; bits <= 9; bits += 0.25) {
    std::vector<MixedMatrix> matrices;
    for (int i = 1; i <= 20; ++i) matrices.push_back(matrix(100 * i, 1.0 / i));
    ASSERT_TRUE(spread_bits(bits, matrices).ok());
    double used = 0, values = 0;
    for (const MixedMatrix& m : matrices) {
      used += m.formats[m.chosen].bits * static_cast<double>(m.values);
      values += static_cast<double>(m.values);
    }
    EXPECT_LE(used, bits * values * (1 + 1e-6));
    if (bits < 8.5) {
      EXPECT_GT(used, (bits - 0.3) * values);  // no step that is left fits
    }
  }
}

TEST(SpreadBits, RefusesLessThanTheCoarsestTake) {
  std::vector<MixedMatrix> matrices = {matrix(10, 1)};
  EXPECT_EQ(spread_bits(4, matrices).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace brisk
