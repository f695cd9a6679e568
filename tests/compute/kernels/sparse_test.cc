// Sparse products against the dense ones, to the bit, on every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/backend/cpu_ops.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/format.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/pack_sparse.h"
#include "tests/compute/kernels/matrices.h"

namespace brisk {
namespace {

const DType kTypes[] = {DType::kBF16, DType::kF16,  DType::kF32,   DType::kQ8_0,
                        DType::kQ4_0, DType::kQ5_0, DType::kIQ4_NL};

// Which weights are zero.
struct Pattern {
  const char* name;
  int percent;  // of single weights
  int keep;     // else: of every `of` inputs
  int of;
};
constexpr Pattern kPatterns[] = {{"dense", 0, 0, 0},       {"half", 50, 0, 0}, {"70 %", 70, 0, 0},
                                 {"nearly all", 97, 0, 0}, {"all", 100, 0, 0}, {"2:4", 0, 2, 4},
                                 {"4:8", 0, 4, 8},         {"one", -1, 0, 0}};

// Makes weight i of the matrix zero.
void clear(Stored& stored, int64_t i) {
  const Format& format = format_of(stored.tensor.dtype);
  if (format.block_values == 1) {
    std::memset(stored.bytes.data() + i * format.block_bytes, 0,
                static_cast<size_t>(format.block_bytes));
    return;
  }
  std::byte* block = stored.bytes.data() + i / 32 * format.block_bytes;
  const int64_t within = i % 32;
  if (stored.tensor.dtype == DType::kQ8_0) {
    block[2 + within] = std::byte{0};
  } else if (stored.tensor.dtype == DType::kQ4_0) {
    std::byte& pair = block[2 + within % 16];
    pair = within < 16 ? (pair & std::byte{0xF0}) | std::byte{8}
                       : (pair & std::byte{0x0F}) | std::byte{0x80};
  }
}

std::unique_ptr<Stored> pruned_matrix(Rng& rng, DType dtype, const Pattern& pattern,
                                      int64_t columns, int64_t depth) {
  auto stored = random_matrix(rng, dtype, columns, depth);
  const int64_t only = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(columns * depth)));
  for (int64_t row = 0; row < columns; ++row) {
    int64_t first_kept = 0;
    for (int64_t k = 0; k < depth; ++k) {
      if (pattern.of > 0 && k % pattern.of == 0) {
        first_kept = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(pattern.of)));
      }
      const int64_t i = row * depth + k;
      bool zero = static_cast<int>(rng.next_below(100)) < pattern.percent;
      if (pattern.of > 0) {
        zero = (k % pattern.of + pattern.of - first_kept) % pattern.of >= pattern.keep;
      }
      if (pattern.percent < 0) zero = i != only;
      if (zero) clear(*stored, i);
    }
  }
  return stored;
}

// As the kernels read it: floats row by row, codes in panels.
struct Packed {
  std::vector<std::byte> bytes;
  Tensor tensor;
};

std::unique_ptr<Packed> dense(const Tensor& matrix) {
  auto packed = std::make_unique<Packed>();
  packed->tensor = matrix;
  if (is_float(matrix.dtype)) return packed;
  const PanelFormat format = panel_format_for(matrix).value();
  const int64_t panels = panel_count(matrix);
  packed->bytes.resize(static_cast<size_t>(panel_bytes(format, matrix.shape[1]) * panels));
  pack_panels(matrix, format, {0, panels}, packed->bytes.data());
  packed->tensor.panels = format;
  packed->tensor.data = packed->bytes;
  return packed;
}

std::unique_ptr<Packed> sparse(const Tensor& matrix) {
  auto packed = std::make_unique<Packed>();
  const SparseFormat format = sparse_format_for(matrix).value();
  packed->bytes = pack_sparse(matrix, format);
  packed->tensor = matrix;
  packed->tensor.sparse = format;
  packed->tensor.data = packed->bytes;
  return packed;
}

struct Epilogue {
  std::vector<float> bias = {};
  bool add = false;
};

// (rows, columns) of the product, onto `y`.
std::vector<float> multiply(const KernelTable& table, int threads, const Tensor& weight,
                            const std::vector<float>& x, int64_t rows, std::vector<float> y,
                            const Epilogue& epilogue = {}) {
  const int64_t columns = weight.shape[0], depth = weight.shape[1];
  static ThreadTeam one(1), two(2);
  ThreadTeam& team = threads == 1 ? one : two;
  CpuOps ops(table, threads, {.rows = rows, .depth = depth, .head_dim = 16});
  std::vector<float> input = x;
  const MatView view = {input.data(), rows, depth, depth};
  team.run([&](Worker worker) {
    if (weight.takes_rounded_input()) ops.load_input(worker, view);
    worker.sync();
    ops.linear(worker, {.input = view,
                        .weight = &weight,
                        .bias = epilogue.bias,
                        .output = {y.data(), rows, columns, columns},
                        .add = epilogue.add});
  });
  return y;
}

int64_t random_depth(Rng& rng, DType dtype) {
  if (is_float(dtype)) return 1 + static_cast<int64_t>(rng.next_below(700));
  return 32 * (1 + static_cast<int64_t>(rng.next_below(20)));
}

class Sparse : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
};

TEST_P(Sparse, ProductsHaveTheBitsOfTheDenseOnes) {
  Rng rng(21);
  for (const DType dtype : kTypes) {
    for (const Pattern& pattern : kPatterns) {
      for (const int64_t rows : {1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 33, 40}) {
        const int64_t depth = random_depth(rng, dtype);
        const int64_t columns = 1 + static_cast<int64_t>(rng.next_below(70));
        const auto stored = pruned_matrix(rng, dtype, pattern, columns, depth);
        const std::vector<float> x = gaussians(rng, rows * depth),
                                 y = gaussians(rng, rows * columns);
        Epilogue epilogue = {.bias = {}, .add = rows % 3 == 0};
        if (rows % 2 == 0) epilogue.bias = gaussians(rng, columns);
        const std::vector<float> expected =
            multiply(kKernelsScalar, 1, dense(stored->tensor)->tensor, x, rows, y, epilogue);
        const auto packed = sparse(stored->tensor);
        for (const int threads : {1, 2}) {
          ASSERT_TRUE(
              same_bits(multiply(table(), threads, packed->tensor, x, rows, y, epilogue), expected))
              << format_of(dtype).name << " " << pattern.name << ", " << rows << " rows, depth "
              << depth << ", " << columns << " columns, " << threads << " threads";
        }
      }
    }
  }
}

// Rounded rows in several passes over the panels.
TEST_P(Sparse, ManyRowsHaveTheBitsOfTheDenseOnes) {
  Rng rng(22);
  const int64_t rows = 150, depth = 2560, columns = 40;
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0, DType::kBF16}) {
    const auto stored = pruned_matrix(rng, dtype, kPatterns[2], columns, depth);
    const std::vector<float> x = gaussians(rng, rows * depth),
                             y(static_cast<size_t>(rows * columns));
    EXPECT_TRUE(same_bits(multiply(table(), 2, sparse(stored->tensor)->tensor, x, rows, y),
                          multiply(table(), 2, dense(stored->tensor)->tensor, x, rows, y)))
        << format_of(dtype).name;
  }
}

// No term is left out: infinity times a zero that is not stored is NaN, as it is densely.
TEST_P(Sparse, InputsThatAreNotNumbersSpreadAsDensely) {
  Rng rng(23);
  const float infinity = std::numeric_limits<float>::infinity();
  const int64_t depth = 320, columns = 21;
  for (const DType dtype : kTypes) {
    const auto stored = pruned_matrix(rng, dtype, kPatterns[2], columns, depth);
    for (const int64_t rows : {1, 3, 20}) {
      for (const float odd : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
        std::vector<float> x = gaussians(rng, rows * depth);
        x[rng.next_below(x.size())] = odd;
        const std::vector<float> y(static_cast<size_t>(rows * columns));
        const auto ours = multiply(table(), 1, sparse(stored->tensor)->tensor, x, rows, y);
        const auto expected = multiply(table(), 1, dense(stored->tensor)->tensor, x, rows, y);
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_EQ(std::isnan(ours[i]), std::isnan(expected[i])) << format_of(dtype).name;
          if (!std::isnan(expected[i])) {
            ASSERT_EQ(ours[i], expected[i]);
          }
        }
      }
    }
  }
}

// What multiplying by a mask leaves where weights were negative.
TEST_P(Sparse, NegativeZerosAreZeros) {
  Rng rng(24);
  const int64_t rows = 2, depth = 100, columns = 18;
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    auto stored = pruned_matrix(rng, dtype, kPatterns[0], columns, depth);
    std::vector<float> weights(static_cast<size_t>(columns * depth));
    decode_values(stored->tensor, 0, columns * depth, weights.data());
    int64_t zeros = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      if (i % 3 != 0) weights[i] *= 0;
      zeros += weights[i] == 0 ? 1 : 0;
    }
    format_of(dtype).encode(weights.data(), columns * depth, stored->bytes.data());
    const SparseFormat format = sparse_format_for(stored->tensor).value();
    EXPECT_EQ(zeros_in_panel(stored->tensor, format, 0) + zeros_in_panel(stored->tensor, format, 1),
              zeros);
    const std::vector<float> x = gaussians(rng, rows * depth),
                             y(static_cast<size_t>(rows * columns));
    EXPECT_TRUE(same_bits(multiply(table(), 1, sparse(stored->tensor)->tensor, x, rows, y),
                          multiply(table(), 1, dense(stored->tensor)->tensor, x, rows, y)));
  }
}

TEST_P(Sparse, WeightsThatAreNotNumbersAreKept) {
  Rng rng(25);
  const int64_t depth = 64, columns = 16;
  const auto stored = pruned_matrix(rng, DType::kF32, kPatterns[4], columns, depth);
  const float odd[] = {std::numeric_limits<float>::infinity(),
                       std::numeric_limits<float>::quiet_NaN(), 1e-42f};
  for (int i = 0; i < 3; ++i) {
    std::memcpy(stored->bytes.data() + 4 * (i * depth + 7), &odd[i], sizeof(float));
  }
  const std::vector<float> x(static_cast<size_t>(depth), 1.0f), y(static_cast<size_t>(columns));
  const auto products = multiply(table(), 1, sparse(stored->tensor)->tensor, x, 1, y);
  EXPECT_EQ(products[0], odd[0]);
  EXPECT_TRUE(std::isnan(products[1]));
  EXPECT_EQ(products[2], odd[2]);
  EXPECT_EQ(products[3], 0);
}

// The way back for many rows is the dense panel itself.
TEST_P(Sparse, UnpacksToTheDensePanels) {
  Rng rng(26);
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0}) {
    const int64_t depth = 192, columns = 32;
    const auto stored = pruned_matrix(rng, dtype, kPatterns[1], columns, depth);
    const auto expected = dense(stored->tensor);
    const auto packed = sparse(stored->tensor);
    const int64_t bytes = panel_bytes(*expected->tensor.panels, depth);
    for (int64_t panel = 0; panel < 2; ++panel) {
      std::vector<std::byte> out(static_cast<size_t>(bytes));
      table().sparse->formats[static_cast<size_t>(*packed->tensor.sparse)].unpack(
          {.matrix = packed->bytes.data(), .panel = panel, .depth = depth, .out = out.data()});
      EXPECT_EQ(std::memcmp(out.data(), expected->bytes.data() + panel * bytes, out.size()), 0)
          << format_of(dtype).name;
    }
  }
}

std::vector<const KernelTable*> sparse_tables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : usable_kernels()) {
    if (table->sparse != nullptr) tables.push_back(table);
    if (table == &kKernelsAvx512) tables.push_back(&kKernelsAvx512Vnni);
  }
  return tables;
}

std::string name_of_table(const testing::TestParamInfo<const KernelTable*>& tested) {
  const bool base = tested.param == &kKernelsAvx512Vnni;
  return std::string(tested.param->name) + (base ? "_without_vbmi2" : "");
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Sparse, testing::ValuesIn(sparse_tables()),
                         name_of_table);

TEST(PackSparse, TakesTheBytesOfMasksValuesAndHeaders) {
  Rng rng(27);
  const int64_t depth = 256, columns = 16, weights = depth * columns;
  const struct {
    DType dtype;
    int64_t bytes;  // of a panel with half of the weights
  } cases[] = {{DType::kBF16, weights / 8 + weights / 2 * 2},
               {DType::kF16, weights / 8 + weights / 2 * 2},
               {DType::kF32, weights / 8 + weights / 2 * 4},
               {DType::kQ8_0, weights / 8 + weights / 2 + weights / 32 * 2},
               {DType::kQ4_0, weights / 8 + weights / 4 + weights / 32 * 2}};
  for (const auto& each : cases) {
    auto stored = random_matrix(rng, each.dtype, columns, depth);
    if (each.dtype == DType::kQ8_0) {  // no code is zero by chance
      for (std::byte& byte : stored->bytes) byte |= std::byte{1};
    } else if (each.dtype == DType::kQ4_0) {
      for (std::byte& byte : stored->bytes) byte = std::byte{0x31};
    }
    for (int64_t i = 0; i < weights; ++i) {
      if (i % 4 == 1 || i % 4 == 2) clear(*stored, i);
    }
    const SparseFormat format = sparse_format_for(stored->tensor).value();
    EXPECT_EQ(zeros_in_panel(stored->tensor, format, 0), weights / 2);
    EXPECT_EQ(sparse_panel_bytes(stored->tensor, format, 0), each.bytes) << name_of(format);
    EXPECT_EQ(std::ssize(pack_sparse(stored->tensor, format)),
              sparse_index_bytes(1) + each.bytes + kSparseSlack);
  }
}

TEST(PackSparse, HasNoFormatWhereZerosAreNoCodeOfTheirOwn) {
  Rng rng(28);
  for (const DType dtype : {DType::kQ4_K, DType::kQ6_K, DType::kQ4_1, DType::kMXFP4}) {
    EXPECT_EQ(sparse_format_for(random_matrix(rng, dtype, 16, 256)->tensor), std::nullopt);
  }
}

}  // namespace
}  // namespace brisk
