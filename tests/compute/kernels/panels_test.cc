// Products of packed weights: every instruction set against the scalar definition, to the bit;
// packing against the format's own decoder.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/format.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/scaled_codes.h"
#include "tests/compute/kernels/matrices.h"
#include "tests/compute/kernels/scaled_matrices.h"

namespace brisk {
namespace {

const DType kPackedTypes[] = {DType::kQ4_0, DType::kQ8_0, DType::kQ5_0,  DType::kIQ4_NL,
                              DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,  DType::kQ3_K,
                              DType::kQ4_1, DType::kQ5_1, DType::kMXFP4, DType::kTQ2_0};

int64_t depth_unit(DType dtype) { return std::max(32, format_of(dtype).block_values); }

// A matrix of each kind, and what it is called in a failure.
struct Sample {
  std::string name;
  std::shared_ptr<void> memory;
  Tensor matrix;
};

// `columns` and the number of 32s of the depth are at least what is given.
std::vector<Sample> samples(Rng& rng, int64_t columns_max, int64_t units_max) {
  std::vector<Sample> all;
  const auto up_to = [&](int64_t most) {
    return 1 + static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(most)));
  };
  for (const DType dtype : kPackedTypes) {
    std::shared_ptr<Stored> stored =
        random_matrix(rng, dtype, up_to(columns_max), depth_unit(dtype) * up_to(units_max));
    all.push_back({std::string(format_of(dtype).name), stored, stored->tensor});
  }
  for (const ScaledKind& kind : packed_kinds()) {
    std::shared_ptr<StoredScaled> stored =
        random_scaled(rng, kind, up_to(columns_max), 32 * up_to(units_max));
    all.push_back({kind.name, stored, stored->tensor});
  }
  return all;
}

// Owns what QuantizedRows points at.
struct Input {
  Input(const KernelTable& table, const std::vector<float>& x, int64_t rows, int64_t depth)
      : groups((depth + 63) / 64 * 2),
        codes(static_cast<size_t>(rows * groups * 32), 77),
        floats(static_cast<size_t>(2 * rows * groups), 77),
        starts(static_cast<size_t>(4 * rows * groups), 77) {
    const int64_t each = rows * groups;
    view = {.codes = codes.data(),
            .scales = floats.data(),
            .sums = floats.data() + each,
            .start_8 = starts.data(),
            .start_128 = starts.data() + each,
            .start_32 = starts.data() + 2 * each,
            .rows = rows,
            .groups = groups};
    table.quantize_groups({.x = x.data(),
                           .x_stride = depth,
                           .depth = depth,
                           .first_row = 0,
                           .last_row = rows,
                           .first_group = 0,
                           .last_group = groups,
                           .out = view});
  }
  int64_t groups;
  std::vector<int8_t> codes;
  std::vector<float> floats;
  std::vector<int32_t> starts;
  QuantizedRows view;
};

std::vector<std::byte> packed(const Tensor& matrix) {
  const PanelFormat format = panel_format_for(matrix).value();
  std::vector<std::byte> panels(
      static_cast<size_t>(panel_bytes(format, matrix.shape[1]) * panel_count(matrix)));
  pack_panels(matrix, format, {0, panel_count(matrix)}, panels.data());
  return panels;
}

struct Epilogue {
  const float* bias = nullptr;
  bool add = false;
};

// (rows, columns) of the product, onto `y`.
std::vector<float> multiply(const KernelTable& table, const Tensor& matrix,
                            const std::vector<std::byte>& panels, const std::vector<float>& x,
                            int64_t rows, std::vector<float> y, Epilogue epilogue) {
  const int64_t columns = matrix.shape[0], depth = matrix.shape[1];
  const PanelFormat format = panel_format_for(matrix).value();
  const Input input(table, x, rows, depth);
  table.panels->linear[static_cast<size_t>(format)]({.x = input.view,
                                                     .panels = panels.data(),
                                                     .panel_bytes = panel_bytes(format, depth),
                                                     .cols = columns,
                                                     .bias = epilogue.bias,
                                                     .y = y.data(),
                                                     .y_stride = columns,
                                                     .add = epilogue.add});
  return y;
}

// An input that is 127 at one place and 0 elsewhere is rounded without loss, so the product is 127
// times the weight there.
TEST(PackPanels, EveryWeightIsTheOneThatTheFormatDecodes) {
  Rng rng(5);
  for (const auto& [name, memory, matrix] : samples(rng, 40, 5)) {
    const int64_t columns = matrix.shape[0], depth = matrix.shape[1];
    const std::vector<std::byte> panels = packed(matrix);
    std::vector<float> weights(static_cast<size_t>(columns * depth));
    decode_values(matrix, 0, columns * depth, weights.data());
    // Large terms of either sign may leave little; a step of a code is a hundredth of the largest.
    const float largest =
        std::abs(*std::ranges::max_element(weights, {}, [](float w) { return std::abs(w); }));
    for (int64_t k = 0; k < depth; ++k) {
      std::vector<float> x(static_cast<size_t>(depth), 0.0f);
      x[static_cast<size_t>(k)] = 127;
      const std::vector<float> y =
          multiply(kKernelsScalar, matrix, panels, x, 1,
                   std::vector<float>(static_cast<size_t>(columns), 0.0f), {});
      for (int64_t c = 0; c < columns; ++c) {
        const float expected = 127 * weights[static_cast<size_t>(c * depth + k)];
        ASSERT_NEAR(y[static_cast<size_t>(c)], expected,
                    1e-5f * (1 + std::abs(expected)) + 127 * 1e-7f * largest)
            << name << " column " << c << " input " << k;
      }
    }
  }
}

// What a matrix with codes, scales and zeros apart becomes: the fewest bits that lose nothing.
TEST(PackPanels, ChoosesTheSmallestFormatThatHoldsAScaledMatrix) {
  Rng rng(12);
  const std::vector<std::pair<std::string, PanelFormat>> expected = {
      {"int4", PanelFormat::kInt4},
      {"int4 in rows", PanelFormat::kInt4},
      {"int4 of small scales", PanelFormat::kInt4Wide},
      {"int4 symmetric", PanelFormat::kQ4_0},
      {"int4 symmetric, f32", PanelFormat::kInt4Wide},
      {"int3 symmetric", PanelFormat::kQ4_0},
      {"int2", PanelFormat::kInt4},
      {"int8", PanelFormat::kScaled8},
      {"int8 symmetric", PanelFormat::kQ8_0}};
  for (const auto& [name, format] : expected) {
    for (const ScaledKind& kind : packed_kinds()) {
      if (kind.name != name) continue;
      EXPECT_EQ(panel_format_for(random_scaled(rng, kind, 40, 256)->tensor), format) << name;
    }
  }
}

TEST(PackPanels, FourBitsStayNearFour) {
  const auto bits = [](PanelFormat format) {
    return 8.0 * static_cast<double>(panel_bytes(format, 256)) / (256 * kPanelColumns);
  };
  EXPECT_EQ(bits(PanelFormat::kQ4_0), 4.5);
  EXPECT_EQ(bits(PanelFormat::kInt4), 4.75);
  EXPECT_EQ(bits(PanelFormat::kInt4Wide), 5.25);
}

// No panel holds groups that are not whole 32s, a depth that is not, groups in disorder, or
// minimums that f32 would round.
TEST(PackPanels, LeavesAScaledMatrixAsItIsWhereItWouldLose) {
  Rng rng(13);
  const auto format = [&](const ScaledKind& kind, int64_t depth) {
    return panel_format_for(random_scaled(rng, kind, 20, depth)->tensor);
  };
  EXPECT_EQ(format({.name = "", .group = 48}, 96), std::nullopt);
  EXPECT_EQ(format({.name = "", .group = 64}, 80), std::nullopt);
  EXPECT_EQ(format({.name = "", .scales = DType::kF32}, 128), std::nullopt);
  const auto stored = random_scaled(rng, {.name = ""}, 20, 128);
  ScaledMatrix scattered = *stored->tensor.scaled;
  scattered.group_of.assign(128, 1);
  stored->tensor.scaled = std::make_shared<ScaledMatrix>(scattered);
  EXPECT_EQ(panel_format_for(stored->tensor), std::nullopt);
}

class Panels : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
};

TEST_P(Panels, ProductsEqualTheScalarOnesAndDoNotDependOnTheNumberOfRows) {
  Rng rng(6);
  for (const int64_t rows : {1, 2, 3, 5, 7, 11, 15, 16, 17, 31, 33, 40}) {
    for (const auto& [name, memory, matrix] : samples(rng, 50, 5)) {
      const int64_t columns = matrix.shape[0], depth = matrix.shape[1];
      const std::vector<std::byte> panels = packed(matrix);
      const std::vector<float> x = gaussians(rng, rows * depth), y = gaussians(rng, rows * columns),
                               bias = gaussians(rng, columns);
      const Epilogue epilogue = {.bias = rows % 2 == 0 ? bias.data() : nullptr,
                                 .add = rows % 3 == 0};
      const std::vector<float> all = multiply(table(), matrix, panels, x, rows, y, epilogue);
      for (int64_t r = 0; r < rows; ++r) {
        const std::vector<float> one_x(x.begin() + r * depth, x.begin() + (r + 1) * depth);
        const std::vector<float> one_y(y.begin() + r * columns, y.begin() + (r + 1) * columns);
        const std::vector<float> expected =
            multiply(kKernelsScalar, matrix, panels, one_x, 1, one_y, epilogue);
        ASSERT_TRUE(
            same_bits({all.begin() + r * columns, all.begin() + (r + 1) * columns}, expected))
            << name << " rows " << rows << " depth " << depth;
      }
    }
  }
}

// Rows in many passes over the weights: more than the second-level cache is given.
TEST_P(Panels, ManyRowsEqualFew) {
  Rng rng(7);
  const int64_t rows = 300, depth = 1536, columns = 48;
  const auto stored = random_matrix(rng, DType::kQ4_K, columns, depth);
  const std::vector<std::byte> panels = packed(stored->tensor);
  const std::vector<float> x = gaussians(rng, rows * depth);
  const std::vector<float> zeros(static_cast<size_t>(rows * columns), 0.0f);
  const std::vector<float> all = multiply(table(), stored->tensor, panels, x, rows, zeros, {});
  for (const int64_t r : {0, 15, 16, 159, 160, 299}) {
    const std::vector<float> one_x(x.begin() + r * depth, x.begin() + (r + 1) * depth);
    ASSERT_TRUE(same_bits({all.begin() + r * columns, all.begin() + (r + 1) * columns},
                          multiply(table(), stored->tensor, panels, one_x, 1,
                                   std::vector<float>(static_cast<size_t>(columns)), {})));
  }
}

TEST_P(Panels, RoundsActivationsLikeTheScalarOneWhateverTheyAre) {
  Rng rng(8);
  const int64_t rows = 18, depth = 96;
  std::vector<float> x = gaussians(rng, rows * depth);
  const float infinity = std::numeric_limits<float>::infinity();
  x[3] = std::numeric_limits<float>::quiet_NaN();
  x[40] = infinity;
  x[70] = -infinity;
  for (size_t i = 96; i < 128; ++i) x[i] = 0;
  for (size_t i = 128; i < 160; ++i) x[i] = 1e-38f * static_cast<float>(i % 3);
  for (size_t i = 160; i < 192; ++i) x[i] = 3e38f * (i % 2 == 0 ? 1.0f : -1.0f);
  const Input ours(table(), x, rows, depth), expected(kKernelsScalar, x, rows, depth);
  EXPECT_EQ(ours.codes, expected.codes);
  EXPECT_TRUE(same_bits(ours.floats, expected.floats));
  EXPECT_EQ(ours.starts, expected.starts);
}

// Codes and activations at their extremes: nothing saturates on the way.
TEST_P(Panels, ExtremesAreExact) {
  for (const DType dtype : kPackedTypes) {
    for (const int fill : {0x00, 0x80, 0xFF}) {
      const int64_t depth = depth_unit(dtype), columns = 16;
      Rng rng(9);
      const auto stored = random_matrix(rng, dtype, columns, depth);
      const Format& format = format_of(dtype);
      for (size_t i = 0; i < stored->bytes.size(); ++i) {
        // Leave scales alone: the first bytes of small blocks, the ends and heads of large ones.
        const size_t within = i % static_cast<size_t>(format.block_bytes);
        const bool codes = format.block_values == 256 ? within >= 48 && within < 96
                                                      : within >= 8 || format.block_bytes == 1;
        if (codes) stored->bytes[i] = static_cast<std::byte>(fill);
      }
      const std::vector<std::byte> panels = packed(stored->tensor);
      for (const float sign : {1.0f, -1.0f}) {
        const std::vector<float> x(static_cast<size_t>(depth), sign);
        const std::vector<float> zeros(static_cast<size_t>(columns), 0.0f);
        EXPECT_TRUE(same_bits(multiply(table(), stored->tensor, panels, x, 1, zeros, {}),
                              multiply(kKernelsScalar, stored->tensor, panels, x, 1, zeros, {})))
            << format.name << " codes " << fill;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Panels, testing::ValuesIn(usable_kernels()),
                         [](const auto& row) { return std::string(row.param->name); });

}  // namespace
}  // namespace brisk
