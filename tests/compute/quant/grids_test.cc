#include "compute/quant/grids.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

constexpr DType kWithGrids[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
                                DType::kQ5_0, DType::kQ5_1, DType::kQ2_K,
                                DType::kQ4_K, DType::kQ6_K, DType::kTQ2_0};

std::vector<float> gaussians(int64_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(0.05 * rng.next_gaussian());
  return values;
}

std::vector<float> decoded(DType dtype, const std::vector<std::byte>& blocks, int64_t values) {
  std::vector<float> out(static_cast<size_t>(values));
  format_of(dtype).decode(blocks.data(), values, out.data());
  return out;
}

double weighted_error(const std::vector<float>& a, const std::vector<float>& b,
                      const std::vector<float>& weights) {
  double error = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    error += static_cast<double>(weights[i]) * difference * difference;
  }
  return error;
}

class Grids : public testing::TestWithParam<DType> {
 protected:
  const GridFormat& format() const { return *grid_format(GetParam()); }
  std::vector<std::byte> blocks(int64_t values) const {
    return std::vector<std::byte>(static_cast<size_t>(bytes_of(GetParam(), values)));
  }
};

TEST_P(Grids, SayWhatEveryCodeDecodesTo) {
  const std::vector<float> values = gaussians(format().block_values, 1);
  for (const bool search : {false, true}) {
    std::vector<std::byte> block = blocks(format().block_values);
    format().fit({.values = values.data(), .importance = nullptr, .search = search}, block.data());
    Grid grids[kBlockRunsMax];
    format().grids(block.data(), grids);
    Rng rng(2);
    std::vector<int> codes;
    std::vector<float> expected;
    for (int i = 0; i < format().block_values; ++i) {
      const Grid& grid = grids[i / format().run_values];
      const auto levels = static_cast<uint64_t>(grid.code_max - grid.code_min + 1);
      codes.push_back(grid.code_min + static_cast<int>(rng.next_below(levels)));
      expected.push_back(grid.value_of(codes.back()));
    }
    format().store(codes.data(), block.data());
    EXPECT_EQ(decoded(GetParam(), block, format().block_values), expected);
  }
}

TEST_P(Grids, SearchedOnesAreNeverWorseThanCoveringOnes) {
  const int64_t count = 16 * format().block_values;
  std::vector<float> values = gaussians(count, 3);
  values[5] = 0.7f;  // an outlier, which clipping may give up
  std::vector<float> alike(values.size(), 1.0f), importance(values.size());
  Rng rng(4);
  for (float& weight : importance) weight = static_cast<float>(std::exp(3 * rng.next_gaussian()));

  std::vector<std::byte> covering = blocks(count), searched = blocks(count),
                         weighed = blocks(count);
  encode_covering(format(), values.data(), count, covering.data());
  encode_searched(format(), values.data(), nullptr, count, searched.data());
  encode_searched(format(), values.data(), importance.data(), count, weighed.data());
  const std::vector<float> a = decoded(GetParam(), covering, count);
  const std::vector<float> b = decoded(GetParam(), searched, count);
  const std::vector<float> c = decoded(GetParam(), weighed, count);
  EXPECT_LT(weighted_error(values, b, alike), weighted_error(values, a, alike));
  EXPECT_LT(weighted_error(values, c, importance), weighted_error(values, b, importance));
}

TEST_P(Grids, CoveringOnesAreWhatTheFormatsEncoderGives) {
  const int64_t count = 4 * format().block_values;
  const std::vector<float> values = gaussians(count, 5);
  std::vector<std::byte> ours = blocks(count), encoded = blocks(count);
  encode_covering(format(), values.data(), count, ours.data());
  format_of(GetParam()).encode(values.data(), count, encoded.data());
  EXPECT_EQ(ours, encoded);
}

TEST_P(Grids, ZerosAndEqualValuesSurvive) {
  for (const float value : {0.0f, 0.25f, -3.0f}) {
    const std::vector<float> values(static_cast<size_t>(format().block_values), value);
    std::vector<std::byte> block = blocks(format().block_values);
    encode_searched(format(), values.data(), nullptr, format().block_values, block.data());
    for (const float got : decoded(GetParam(), block, format().block_values)) {
      EXPECT_NEAR(got, value, std::abs(value) / 100);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Grids, testing::ValuesIn(kWithGrids),
                         [](const auto& test) { return std::string(format_of(test.param).name); });

}  // namespace
}  // namespace brisk
