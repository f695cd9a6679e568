// Products of tiles against their definition (tiles.h), to the bit: the kernels over a tile unit in
// software; the machine code of the AMX kernels with its tile instructions trapped; and, where the
// machine has a tile unit, the real thing.
#include "compute/kernels/cpu/tiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "compute/kernels/cpu/tile_walk.h"
#include "compute/quant/pack_tiles.h"
#include "tests/compute/kernels/matrices.h"
#include "tests/compute/kernels/scaled_matrices.h"
#include "tests/compute/kernels/tile_definition.h"
#include "tests/compute/kernels/tile_units.h"

namespace brisk {
namespace {

const DType kPackedTypes[] = {DType::kQ4_0,  DType::kQ4_1, DType::kQ4_K, DType::kIQ4_NL,
                              DType::kMXFP4, DType::kQ5_0, DType::kQ5_1, DType::kQ5_K,
                              DType::kQ6_K,  DType::kQ3_K, DType::kQ8_0, DType::kF32,
                              DType::kF16,   DType::kBF16};

struct alignas(64) Line {
  std::byte bytes[64];
};
std::vector<Line> lines(int64_t bytes) {
  return std::vector<Line>(static_cast<size_t>((bytes + 63) / 64));
}

struct Epilogue {
  const float* bias = nullptr;
  bool add = false;
};

// A matrix with its operands as the definition takes them, and as the kernels do.
class Product {
 public:
  Product(const Tensor& matrix, const std::vector<float>& x, int64_t rows)
      : matrix_(matrix), columns_(matrix.shape[0]), depth_(matrix.shape[1]), rows_(rows), x_(x) {
    std::vector<float> weights(static_cast<size_t>(columns_ * depth_));
    decode_values(matrix, 0, columns_ * depth_, weights.data());
    for (const float weight : weights) rounded_weights_.push_back(rounded(weight));
    for (const float value : x) rounded_x_.push_back(rounded(value));
    format_ = tile_format_for(matrix).value();
    panel_bytes_ = tile_panel_bytes(format_, depth_);
    panels_ = lines(panel_bytes_ * tile_panel_count(matrix));
    // In two parts, as threads do.
    const int64_t count = tile_panel_count(matrix), half = count / 2;
    pack_tiles(matrix, format_, {0, half}, panels_.data()->bytes);
    pack_tiles(matrix, format_, {half, count}, panels_.data()->bytes + half * panel_bytes_);
  }

  std::vector<float> run(const TileKernels& kernels, std::vector<float> y,
                         const Epilogue& epilogue) const {
    const int64_t groups = depth_ / kTileInputs;
    std::vector<Line> packed = lines(tile_rows_bytes(rows_, groups)),
                      scratch = lines(kTileScratchBytes);
    std::memset(packed.data(), 77, packed.size() * sizeof(Line));
    const TileRows x = {.data = packed.data(), .rows = rows_, .groups = groups};
    const int64_t tasks = tile_row_blocks(rows_) * groups;
    for (const auto& [first, last] : {std::pair<int64_t, int64_t>{tasks / 3, tasks},
                                      std::pair<int64_t, int64_t>{0, tasks / 3}}) {
      kernels.pack_rows(
          {.x = x_.data(), .x_stride = depth_, .first_task = first, .last_task = last, .out = x});
    }
    kernels.linear[static_cast<size_t>(format_)]({.x = x,
                                                  .panels = panels_.data(),
                                                  .panel_bytes = panel_bytes_,
                                                  .cols = columns_,
                                                  .bias = epilogue.bias,
                                                  .y = y.data(),
                                                  .y_stride = columns_,
                                                  .add = epilogue.add,
                                                  .scratch = scratch.data()});
    return y;
  }

  float defined(int64_t row, int64_t column, float y, const Epilogue& epilogue) const {
    float value = defined_dot(rounded_weights_.data() + column * depth_,
                              rounded_x_.data() + row * depth_, depth_);
    if (epilogue.bias != nullptr) value += epilogue.bias[column];
    return epilogue.add ? y + value : value;
  }

 private:
  const Tensor& matrix_;
  const int64_t columns_, depth_, rows_;
  const std::vector<float>& x_;
  std::vector<float> rounded_weights_, rounded_x_;
  TileFormat format_;
  int64_t panel_bytes_;
  std::vector<Line> panels_;
};

// --- The kernels. ---

class Tiles : public OnTileUnits<TileKernels> {
 protected:
  // Compares every `step`-th output with the definition.
  void expect_defined(Rng& rng, DType dtype, int64_t rows, int64_t columns, int64_t depth,
                      int64_t step) {
    const auto stored = random_matrix(rng, dtype, columns, depth);
    expect_defined(rng, format_of(dtype).name, stored->tensor, rows, step);
  }

  void expect_defined(Rng& rng, std::string_view name, const Tensor& matrix, int64_t rows,
                      int64_t step) {
    const int64_t columns = matrix.shape[0], depth = matrix.shape[1];
    const std::vector<float> x = gaussians(rng, rows * depth), y = gaussians(rng, rows * columns),
                             bias = gaussians(rng, columns);
    const Epilogue epilogue = {.bias = rows % 2 == 0 ? bias.data() : nullptr, .add = rows % 3 == 0};
    const Product product(matrix, x, rows);
    const std::vector<float> ours = product.run(kernels(), y, epilogue);
    for (int64_t i = 0; i < rows * columns; i += step) {
      const auto at = static_cast<size_t>(i);
      const float expected = product.defined(i / columns, i % columns, y[at], epilogue);
      ASSERT_EQ(std::memcmp(&ours[at], &expected, 4), 0)
          << name << ": " << rows << " x " << columns << " x " << depth << ", row " << i / columns
          << " column " << i % columns << ": " << ours[at] << ", defined " << expected;
    }
  }
};

int64_t depth_unit(DType dtype) { return std::max(32, format_of(dtype).block_values); }

TEST_P(Tiles, ProductsEqualTheirDefinitionForEveryFormatAndNumberOfRows) {
  Rng rng(11);
  for (const DType dtype : kPackedTypes) {
    for (int64_t rows = 1; rows <= 70; rows += unit().trap && rows >= 18 ? 9 : 1) {
      const int64_t columns = 1 + static_cast<int64_t>(rng.next_below(rows < 34 ? 70 : 40));
      const int64_t depth = depth_unit(dtype) * (1 + static_cast<int64_t>(rng.next_below(3)));
      ASSERT_NO_FATAL_FAILURE(expect_defined(rng, dtype, rows, columns, depth, 1));
    }
  }
}

TEST_P(Tiles, ProductsOfScaledMatricesEqualTheirDefinition) {
  Rng rng(14);
  for (const ScaledKind& kind : packed_kinds()) {
    for (const int64_t rows : {1, 7, 16, 17, 40}) {
      const int64_t columns = 1 + static_cast<int64_t>(rng.next_below(70));
      const int64_t depth = 32 * (1 + static_cast<int64_t>(rng.next_below(7)));
      const auto stored = random_scaled(rng, kind, columns, depth);
      ASSERT_NO_FATAL_FAILURE(expect_defined(rng, kind.name, stored->tensor, rows, 1));
    }
  }
}

// Several passes of rows, segments of inputs, runs of units and chunks of panels.
TEST_P(Tiles, LargeProductsEqualTheirDefinition) {
  Rng rng(12);
  if (unit().trap) {
    ASSERT_NO_FATAL_FAILURE(expect_defined(rng, DType::kQ5_K, 289, 34, 2304, 97));
    ASSERT_NO_FATAL_FAILURE(expect_defined(rng, DType::kBF16, 140, 1059, 1184, 997));
    return;
  }
  for (const DType dtype : kPackedTypes) {
    ASSERT_NO_FATAL_FAILURE(expect_defined(rng, dtype, 512, 70, 2304, 97));
  }
  ASSERT_NO_FATAL_FAILURE(expect_defined(rng, DType::kQ4_0, 289, 1100, 2080, 997));
  ASSERT_NO_FATAL_FAILURE(expect_defined(rng, DType::kBF16, 100, 1059, 4640, 997));
  ASSERT_NO_FATAL_FAILURE(expect_defined(rng, DType::kQ6_K, 33, 1, 8192, 1));
}

// The promise that batching rests on.
TEST_P(Tiles, ARowsBitsDoNotDependOnItsNeighbours) {
  Rng rng(13);
  const int64_t rows = 512, columns = 48, depth = 2560;
  if (unit().trap) GTEST_SKIP() << "slow, and the definition knows no neighbours";
  for (const DType dtype : {DType::kQ4_K, DType::kQ8_0, DType::kF16}) {
    const auto stored = random_matrix(rng, dtype, columns, depth);
    const std::vector<float> x = gaussians(rng, rows * depth);
    const Product product(stored->tensor, x, rows);
    const std::vector<float> all =
        product.run(kernels(), std::vector<float>(static_cast<size_t>(rows * columns)), {});
    for (const auto& [first, count] : std::vector<std::pair<int64_t, int64_t>>{
             {0, 1}, {511, 1}, {37, 2}, {100, 16}, {255, 17}, {300, 32}, {480, 32}, {7, 333}}) {
      const std::vector<float> part(x.begin() + first * depth, x.begin() + (first + count) * depth);
      const Product alone(stored->tensor, part, count);
      ASSERT_TRUE(same_bits(
          alone.run(kernels(), std::vector<float>(static_cast<size_t>(count * columns)), {}),
          {all.begin() + first * columns, all.begin() + (first + count) * columns}))
          << count << " rows from " << first;
    }
  }
}

TEST_P(Tiles, SubnormalNumbersCountAsZero) {
  const int64_t depth = 64;
  Stored stored;
  std::vector<float> weights(depth, 1e-39f), x(depth, 1e30f);
  weights[1] = 1.1754942e-38f;  // the largest: rounds up to what is none
  weights[5] = 2;
  x[5] = 1.1754942e-38f;
  weights[8] = x[8] = 1e-20f;  // a product that is one
  weights[40] = 3;
  x[40] = 0.25f;
  const Tensor matrix = {.dtype = DType::kF32,
                         .shape = {1, depth},
                         .data = std::as_bytes(std::span<const float>(weights))};
  const Product product(matrix, x, 1);
  EXPECT_EQ(product.run(kernels(), {0.0f}, {}), std::vector<float>{0.75f});
  EXPECT_EQ(product.defined(0, 0, 0, {}), 0.75f);
}

TEST_P(Tiles, WhatIsNotFiniteStaysInItsRow) {
  Rng rng(14);
  const int64_t rows = 40, columns = 33, depth = 96;
  const auto stored = random_matrix(rng, DType::kQ8_0, columns, depth);
  std::vector<float> x = gaussians(rng, rows * depth);
  x[3 * depth + 5] = std::numeric_limits<float>::quiet_NaN();
  x[20 * depth + 90] = std::numeric_limits<float>::infinity();
  const Product product(stored->tensor, x, rows);
  const std::vector<float> y =
      product.run(kernels(), std::vector<float>(static_cast<size_t>(rows * columns)), {});
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      EXPECT_EQ(std::isfinite(y[static_cast<size_t>(r * columns + c)]), r != 3 && r != 20)
          << r << " " << c;
    }
  }
}

TEST_P(Tiles, PeaksCountTheirOperations) {
  EXPECT_EQ(kernels().int8_peak(3), 3 * 64);
  EXPECT_EQ(kernels().bf16_peak(2), 2 * 32 * 0x1p-14f);
}

INSTANTIATE_TEST_SUITE_P(Unit, Tiles, tile_units(kTileKernelsEmulated, kTileKernelsAmx),
                         [](const auto& row) { return std::string(row.param.name); });

// Every panel's units are met once by every row block, in order.
TEST(TileWalk, VisitsEverythingOnceAndInOrder) {
  Rng rng(15);
  for (int round = 0; round < 300; ++round) {
    const auto blocks = 1 + static_cast<int64_t>(rng.next_below(50));
    const auto panels = 1 + static_cast<int64_t>(rng.next_below(80));
    const auto units = 1 + static_cast<int64_t>(rng.next_below(round % 2 == 0 ? 20 : 300));
    std::vector<int64_t> met(static_cast<size_t>(blocks * panels), 0);
    for (Walk walk(blocks, panels, units); !walk.done(); walk.advance()) {
      ASSERT_LT(walk.unit, walk.unit_end);
      ASSERT_LE(walk.unit_end - walk.unit, kRunUnits);
      ASSERT_LE(walk.block_end - walk.block, kPassBlocks);
      ASSERT_LT(walk.panel - walk.chunk, kChunkPanels);
      ASSERT_LE((walk.segment_end - walk.segment) * (walk.block_end - walk.block), kSegmentTiles);
      for (int64_t block = walk.block; block < walk.block_end; ++block) {
        int64_t& next = met[static_cast<size_t>(block * panels + walk.panel)];
        ASSERT_EQ(next, walk.unit);
        next = walk.unit_end;
      }
    }
    ASSERT_TRUE(std::all_of(met.begin(), met.end(), [&](int64_t n) { return n == units; }));
  }
}

// The stream is what decoding waits for: it must not be much longer than the file.
TEST(PackTiles, BitsPerWeightStayNearTheStoredOnes) {
  const std::vector<std::tuple<DType, double>> most = {
      {DType::kQ4_0, 4.5},    {DType::kQ4_1, 5},   {DType::kQ4_K, 4.625}, {DType::kIQ4_NL, 4.5},
      {DType::kMXFP4, 4.5},   {DType::kQ5_0, 5.5}, {DType::kQ5_1, 6},     {DType::kQ5_K, 5.625},
      {DType::kQ6_K, 6.5625}, {DType::kQ8_0, 8.5}, {DType::kBF16, 16}};
  for (const auto& [dtype, bits] : most) {
    const Tensor matrix = {.dtype = dtype, .shape = {32, 256}, .data = {}};
    const TileFormat format = tile_format_for(matrix).value();
    EXPECT_EQ(8.0 * static_cast<double>(tile_panel_bytes(format, 256)) / (32 * 256), bits)
        << format_of(dtype).name;
  }
}

TEST(PackTiles, RefusesWhatTilesCannotHold) {
  const auto fits = [](DType dtype, int64_t depth) {
    return tile_format_for({.dtype = dtype, .shape = {4, depth}, .data = {}}).has_value();
  };
  EXPECT_TRUE(fits(DType::kF16, 64));
  EXPECT_FALSE(fits(DType::kF16, 48));
  EXPECT_FALSE(fits(DType::kQ2_K, 256));
  EXPECT_FALSE(fits(DType::kTernaryGrouped, 256));
}

}  // namespace
}  // namespace brisk
