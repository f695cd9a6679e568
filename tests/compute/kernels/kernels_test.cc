// Every instruction set against the scalar definition: the bits must be equal, over odd shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/kernels/cpu/amx_probe.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/format.h"
#include "tests/compute/kernels/attention_cache.h"

namespace brisk {
namespace {

std::vector<float> gaussians(Rng& rng, int64_t count, double scale = 1) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.next_gaussian() * scale);
  return values;
}

// Bits, so that NaNs and signed zeros count too.
testing::AssertionResult same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << "sizes differ";
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      return testing::AssertionFailure() << "at " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

class Kernels : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
};

struct LinearFormat {
  DType dtype;
  LinearKernel KernelTable::* direct;
  DecodeKernel KernelTable::* decode;
  int64_t depth_unit;
};

const LinearFormat kLinearFormats[] = {
    {DType::kF32, &KernelTable::direct_f32, nullptr, 1},
    {DType::kF16, &KernelTable::direct_f16, &KernelTable::decode_f16, 1},
    {DType::kBF16, &KernelTable::direct_bf16, &KernelTable::decode_bf16, 1},
    {DType::kQ8_0, &KernelTable::direct_q8_0, &KernelTable::decode_q8_0, 32},
    {DType::kQ4_0, &KernelTable::direct_q4_0, &KernelTable::decode_q4_0, 32},
};

struct Product {
  int64_t rows, cols, depth;
  std::vector<float> x, w, bias, y;
};

Product random_product(Rng& rng, int64_t rows, int64_t cols, int64_t depth) {
  return {rows,
          cols,
          depth,
          gaussians(rng, rows * depth),
          gaussians(rng, cols * depth),
          gaussians(rng, cols),
          gaussians(rng, rows * cols)};
}

std::vector<float> run(const Product& p, LinearKernel kernel, const void* w, int64_t row_bytes,
                       int64_t first_row, int64_t rows) {
  std::vector<float> y = p.y;
  kernel({.x = p.x.data() + first_row * p.depth,
          .x_stride = p.depth,
          .rows = rows,
          .w = w,
          .w_row_bytes = row_bytes,
          .cols = p.cols,
          .depth = p.depth,
          .bias = p.bias.data(),
          .y = y.data() + first_row * p.cols,
          .y_stride = p.cols,
          .add = true});
  return y;
}

TEST_P(Kernels, ProductsEqualTheScalarOnesAndDoNotDependOnTheNumberOfRows) {
  Rng rng(3);
  for (const LinearFormat& format : kLinearFormats) {
    for (const int64_t depth : {1, 15, 16, 17, 32, 33, 64, 96, 224}) {
      if (depth % format.depth_unit != 0) continue;
      const Product p = random_product(rng, 1 + static_cast<int64_t>(rng.next_below(9)),
                                       1 + static_cast<int64_t>(rng.next_below(11)), depth);
      const int64_t row_bytes = bytes_of(format.dtype, depth);
      std::vector<std::byte> w(static_cast<size_t>(row_bytes * p.cols + 1));
      std::byte* unaligned = w.data() + 1;
      for (int64_t c = 0; c < p.cols; ++c) {
        format_of(format.dtype).encode(p.w.data() + c * depth, depth, unaligned + c * row_bytes);
      }
      // Row by row through the scalar kernel: the definition.
      std::vector<float> expected = p.y;
      for (int64_t r = 0; r < p.rows; ++r) {
        const auto one = run(p, kKernelsScalar.*format.direct, unaligned, row_bytes, r, 1);
        std::copy_n(one.begin() + r * p.cols, p.cols, expected.begin() + r * p.cols);
      }
      EXPECT_TRUE(
          same_bits(run(p, table().*format.direct, unaligned, row_bytes, 0, p.rows), expected))
          << format_of(format.dtype).name << " depth " << depth << " rows " << p.rows;
      // Decoded first, as for many rows.
      std::vector<float> decoded(static_cast<size_t>(p.cols * depth));
      if (format.decode != nullptr) {
        for (int64_t c = 0; c < p.cols; ++c) {
          (table().*format.decode)(unaligned + c * row_bytes, depth, decoded.data() + c * depth);
        }
        std::vector<float> reference(decoded.size());
        for (int64_t c = 0; c < p.cols; ++c) {
          format_of(format.dtype)
              .decode(unaligned + c * row_bytes, depth, reference.data() + c * depth);
        }
        EXPECT_TRUE(same_bits(decoded, reference)) << format_of(format.dtype).name;
      } else {
        decoded = p.w;
      }
      EXPECT_TRUE(
          same_bits(run(p, table().linear_f32, decoded.data(), depth * 4, 0, p.rows), expected))
          << format_of(format.dtype).name << " decoded, depth " << depth;
    }
  }
}

TEST_P(Kernels, ProductsAreRightToFloatPrecision) {
  Rng rng(4);
  const Product p = random_product(rng, 5, 7, 1000);
  const auto y = run(p, table().linear_f32, p.w.data(), p.depth * 4, 0, p.rows);
  for (int64_t r = 0; r < p.rows; ++r) {
    for (int64_t c = 0; c < p.cols; ++c) {
      double exact =
          p.y[static_cast<size_t>(r * p.cols + c)] + double{p.bias[static_cast<size_t>(c)]};
      for (int64_t k = 0; k < p.depth; ++k) {
        exact += double{p.x[static_cast<size_t>(r * p.depth + k)]} *
                 p.w[static_cast<size_t>(c * p.depth + k)];
      }
      EXPECT_NEAR(y[static_cast<size_t>(r * p.cols + c)], exact, 1e-4);
    }
  }
}

struct LowRankFormat {
  DType dtype;
  LowRankKernel KernelTable::* kernel;
};

TEST_P(Kernels, LowRankAdditionsEqualTheScalarOnesAndDoNotDependOnTheNumberOfRows) {
  constexpr LowRankFormat kFormats[] = {{DType::kF32, &KernelTable::add_low_rank_f32},
                                        {DType::kF16, &KernelTable::add_low_rank_f16},
                                        {DType::kBF16, &KernelTable::add_low_rank_bf16}};
  Rng rng(8);
  for (const LowRankFormat& format : kFormats) {
    for (const int64_t cols : {1, 15, 16, 31, 32, 50, 96}) {
      const int64_t rank = 1 + cols % 19, rows = 1 + cols % 14;
      const int64_t panels = (cols + kLowRankColumns - 1) / kLowRankColumns;
      const auto h = gaussians(rng, rows * rank), b = gaussians(rng, panels * rank * 32);
      const auto y = gaussians(rng, rows * cols);
      std::vector<std::byte> stored(static_cast<size_t>(bytes_of(format.dtype, std::ssize(b))));
      format_of(format.dtype).encode(b.data(), std::ssize(b), stored.data());
      std::vector<float> decoded(b.size());
      format_of(format.dtype).decode(stored.data(), std::ssize(b), decoded.data());
      const auto run = [&](const KernelTable& kernels, int64_t first, int64_t count, float* out) {
        (kernels.*format.kernel)({.h = h.data() + first * rank,
                                  .h_stride = rank,
                                  .rows = count,
                                  .rank = rank,
                                  .panels = stored.data(),
                                  .panel_bytes = bytes_of(format.dtype, rank * kLowRankColumns),
                                  .cols = cols,
                                  .y = out + first * cols,
                                  .y_stride = cols});
      };
      std::vector<float> expected = y, together = y;
      for (int64_t r = 0; r < rows; ++r) run(kKernelsScalar, r, 1, expected.data());
      run(table(), 0, rows, together.data());
      EXPECT_TRUE(same_bits(together, expected)) << cols << " columns";
      for (int64_t i = 0; i < rows * cols; ++i) {
        double exact = double{y[static_cast<size_t>(i)]};
        const int64_t row = i / cols, col = i % cols;
        for (int64_t j = 0; j < rank; ++j) {
          exact += double{h[static_cast<size_t>(row * rank + j)]} *
                   decoded[static_cast<size_t>((col / 32 * rank + j) * 32 + col % 32)];
        }
        EXPECT_NEAR(together[static_cast<size_t>(i)], exact, 1e-4);
      }
    }
  }
}

TEST_P(Kernels, ElementwiseOperationsEqualTheScalarOnes) {
  Rng rng(5);
  for (const int64_t n : {1, 7, 16, 31, 48, 100}) {
    auto x = gaussians(rng, n, 5);
    x[0] = 200;  // exp overflows its polynomial's range
    if (n > 2) x[1] = -200, x[2] = 0;
    const auto w = gaussians(rng, n), b = gaussians(rng, n);
    const auto both = [&](auto call) {
      std::vector<float> mine = x, expected = x;
      call(table(), mine.data());
      call(kKernelsScalar, expected.data());
      return same_bits(mine, expected);
    };
    const auto norm = [&](float* y) {
      return NormArgs{.x = x.data(),
                      .weight = w.data(),
                      .bias = b.data(),
                      .weight_offset = 1,
                      .eps = 1e-5f,
                      .cols = n,
                      .y = y};
    };
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.rms_norm(norm(y)); }));
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.layer_norm(norm(y)); }));
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.silu(x.data(), w.data(), n, y); }));
    EXPECT_TRUE(
        both([&](const KernelTable& t, float* y) { t.gelu_tanh(x.data(), nullptr, n, y); }));
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.relu2(x.data(), w.data(), n, y); }));
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.softcap(y, n, 30); }));
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.softmax(y, n); }));
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.add_scaled(w.data(), 0.3f, n, y); }));
    EXPECT_TRUE(both([&](const KernelTable& t, float* y) { t.quantize_row(y, n, y); }));
  }
}

TEST_P(Kernels, ActivationsAreRightToFloatPrecision) {
  for (double x = -90; x <= 90; x += 0.37) {
    const float in = static_cast<float>(x);
    float silu = 0, gelu = 0, capped = in;
    table().silu(&in, nullptr, 1, &silu);
    table().gelu_tanh(&in, nullptr, 1, &gelu);
    table().softcap(&capped, 1, 50);
    const double d = in;
    EXPECT_NEAR(silu, d / (1 + std::exp(-d)), 1e-6 * (1 + std::abs(d)));
    EXPECT_NEAR(gelu, 0.5 * d * (1 + std::tanh(std::sqrt(2 / M_PI) * (d + 0.044715 * d * d * d))),
                1e-6 * (1 + std::abs(d)));
    EXPECT_NEAR(capped, 50 * std::tanh(d / 50), 1e-5);
  }
}

// The 8-bit values of fp8 e4m3 are what they are defined to be, and everything between two of them
// goes to the nearer one, or the even one.
TEST_P(Kernels, Fp8ElementsAreTheNearestOnesOfE4M3) {
  std::vector<float> grid;  // of non-negative numbers, code by code
  for (int code = 0; code < 127; ++code) {
    const int exponent = code >> 3, mantissa = code & 7;
    grid.push_back(exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                 : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10));
  }
  ASSERT_EQ(grid.back(), 448);
  Rng rng(12);
  // A vector whose largest magnitude is 448 has the scale 1.
  constexpr int64_t kDim = 16;
  for (int round = 0; round < 400; ++round) {
    std::vector<float> x(kDim);
    for (float& value : x) {
      const auto code = rng.next_below(126);
      const float low = grid[code], high = grid[code + 1];
      value = round % 3 == 0   ? low
              : round % 3 == 1 ? (low + high) / 2
                               : low + (high - low) * static_cast<float>(rng.next_uniform());
      if (rng.next_below(2) == 0) value = -value;
    }
    x[0] = 448;
    std::vector<uint8_t> keys(kDim * 16 + 64), values(kDim * 16 + 64);
    table().kv_append[static_cast<size_t>(KvElement::kFp8)]({.key = x.data(),
                                                             .value = x.data(),
                                                             .head_dim = kDim,
                                                             .value_stride = kDim,
                                                             .keys = keys.data(),
                                                             .values = values.data(),
                                                             .slot = 0});
    for (size_t i = 0; i < kDim; ++i) {
      const float magnitude = std::abs(x[i]);
      size_t best = 0;
      for (size_t code = 1; code < grid.size(); ++code) {
        const float distance = std::abs(grid[code] - magnitude);
        const float least = std::abs(grid[best] - magnitude);
        if (distance < least || (distance == least && code % 2 == 0)) best = code;
      }
      EXPECT_EQ(values[i] & 127, static_cast<int>(best)) << x[i];
      EXPECT_EQ(keys[16 * i], values[i]);
    }
  }
}

float bf16_at(const std::vector<uint8_t>& bytes, int64_t at) {
  return std::bit_cast<float>(static_cast<uint32_t>(bytes[static_cast<size_t>(at)]) << 16 |
                              static_cast<uint32_t>(bytes[static_cast<size_t>(at + 1)]) << 24);
}

// A block of one head in int4, and its values as KvElement defines them.
struct Int4Block {
  int64_t dim;
  std::vector<uint8_t> keys, values;

  float key(int64_t slot, int64_t d) const {
    return decoded(keys, d / 2 * 16 + slot, d % 2 == 1, (dim + 1) / 2 * 16, slot, d);
  }
  float value(int64_t slot, int64_t d) const {
    const int64_t row = (dim + 31) / 32 * 16;
    return decoded(values, slot * row + d / 32 * 16 + d % 16, d % 32 >= 16, row * 16, slot, d);
  }

 private:
  static float decoded(const std::vector<uint8_t>& bytes, int64_t at, bool high, int64_t scales,
                       int64_t slot, int64_t d) {
    const int byte = bytes[static_cast<size_t>(at)];
    const int64_t scale = scales + d / 32 * 64 + 2 * slot;
    return static_cast<float>(high ? byte >> 4 : byte & 15) * bf16_at(bytes, scale) +
           bf16_at(bytes, scale + 32);
  }
};

// Each value of a group is stored as the nearest of 16 evenly spaced ones, which begin at its
// minimum, but for what bf16 takes from these two numbers; and attention is what follows from them.
TEST_P(Kernels, Int4ElementsAreTheNearestOfTheirGroup) {
  Rng rng(14);
  for (const int64_t dim : {8, 33, 64, 80}) {
    const int64_t stride = (dim + 15) / 16 * 16;
    const KvHeadBytes bytes = kv_head_bytes(KvElement::kInt4, dim);
    Int4Block block = {.dim = dim,
                       .keys = std::vector<uint8_t>(static_cast<size_t>(bytes.keys), 0xFF),
                       .values = std::vector<uint8_t>(static_cast<size_t>(bytes.values), 0xFF)};
    std::vector<float> k = gaussians(rng, 16 * dim), v = gaussians(rng, 16 * dim);
    for (int64_t slot = 0; slot < 16; ++slot) {
      for (int64_t d = 0; d < dim; ++d) {
        // Groups of different sizes and places; tokens that are constant, or zero.
        float& value = v[static_cast<size_t>(slot * dim + d)];
        value = d < 32 ? value * static_cast<float>(slot) + 3 : value * 0.01f;
        if (slot == 1) value = -2.5f;
        if (slot == 2) value = 0;
      }
      table().kv_append[static_cast<size_t>(KvElement::kInt4)]({.key = k.data() + slot * dim,
                                                                .value = v.data() + slot * dim,
                                                                .head_dim = dim,
                                                                .value_stride = stride,
                                                                .keys = block.keys.data(),
                                                                .values = block.values.data(),
                                                                .slot = slot});
    }
    const auto q = gaussians(rng, dim);
    std::vector<double> weights, exact(static_cast<size_t>(dim));
    for (int64_t slot = 0; slot < 16; ++slot) {
      double score = 0;
      for (int64_t d = 0; d < dim; ++d) {
        for (const bool is_key : {true, false}) {
          const float* x = (is_key ? k : v).data() + slot * dim;
          const auto [low, high] =
              std::minmax_element(x + d / 32 * 32, x + std::min(d / 32 * 32 + 32, dim));
          const float bf16 = (std::abs(*low) + (*high - *low)) / 256;
          EXPECT_NEAR(is_key ? block.key(slot, d) : block.value(slot, d), x[d],
                      (*high - *low) / 30 + bf16)
              << "dim " << dim << " slot " << slot << " at " << d;
        }
        score += double{q[static_cast<size_t>(d)]} * double{block.key(slot, d)};
      }
      weights.push_back(std::exp(0.25 * score));
    }
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (int64_t slot = 0; slot < 16; ++slot) {
      for (int64_t d = 0; d < dim; ++d) {
        exact[static_cast<size_t>(d)] +=
            weights[static_cast<size_t>(slot)] / total * double{block.value(slot, d)};
      }
    }
    Cache cache = {.dim = dim,
                   .value_stride = stride,
                   .block_bytes = 0,
                   .element = KvElement::kInt4,
                   .table = {0},
                   .keys = {block.keys.begin(), block.keys.end()},
                   .values = {block.values.begin(), block.values.end()}};
    const auto out = attend(table(), cache,
                            {.heads = 1, .rows = 1, .position = 15, .window = 0, .softcap = 0}, q);
    for (size_t d = 0; d < exact.size(); ++d) EXPECT_NEAR(out[d], exact[d], 1e-4) << d;
  }
}

TEST(KvElements, TakeTheBytesTheySay) {
  const auto bits = [](KvElement element, int64_t dim) {
    const KvHeadBytes bytes = kv_head_bytes(element, dim);
    return 8.0 * static_cast<double>(bytes.keys + bytes.values) /
           static_cast<double>(2 * dim * kKvBlockTokens);
  };
  EXPECT_EQ(bits(KvElement::kF32, 64), 32);
  EXPECT_EQ(bits(KvElement::kBF16, 64), 16);
  EXPECT_EQ(bits(KvElement::kInt8, 64), 8.5);
  EXPECT_EQ(bits(KvElement::kFp8, 128), 8.25);
  EXPECT_EQ(bits(KvElement::kInt4, 64), 5);
  EXPECT_EQ(bits(KvElement::kInt4, 128), 5);
  EXPECT_EQ(bits(KvElement::kInt4, 96), 5);
  EXPECT_EQ(bits(KvElement::kInt4, 80), 5.6);  // its last group is half a group
}

TEST_P(Kernels, AttentionEqualsTheScalarOneAndIsRight) {
  Rng rng(6);
  for (const int64_t dim : {8, 20, 33, 64, 80}) {
    const int64_t tokens = 530;
    const auto k = gaussians(rng, tokens * dim), v = gaussians(rng, tokens * dim);
    for (const KvElement element : {KvElement::kF32, KvElement::kF16, KvElement::kBF16,
                                    KvElement::kInt8, KvElement::kFp8, KvElement::kInt4}) {
      const Cache mine = fill_cache(table(), element, dim, k, v);
      const Cache scalar = fill_cache(kKernelsScalar, element, dim, k, v);
      ASSERT_EQ(mine.keys, scalar.keys);
      ASSERT_EQ(mine.values, scalar.values);
      for (const Query& query :
           {Query{1, 1, 0, 0, 0}, Query{3, 1, 255, 0, 0}, Query{7, 2, 255, 0, 0},
            Query{16, 1, 529, 0, 50}, Query{2, 5, 406, 111, 0}}) {
        const auto q = gaussians(rng, query.rows * query.heads * dim);
        const auto out = attend(table(), mine, query, q);
        ASSERT_TRUE(same_bits(out, attend(kKernelsScalar, scalar, query, q)))
            << "dim " << dim << " position " << query.position;
        const double tolerance = element == KvElement::kF32    ? 2e-5
                                 : element == KvElement::kInt4 ? 0.4
                                 : element == KvElement::kFp8  ? 0.25
                                 : element == KvElement::kInt8 ? 0.05
                                                               : 0.02;
        for (int64_t h = 0; h < query.rows * query.heads; ++h) {
          const int64_t row = h / query.heads;
          std::vector<double> exact(static_cast<size_t>(dim));
          double total = 0;
          for (int64_t t = query.first_seen(row); t <= query.position + row; ++t) {
            double score = 0;
            for (int64_t d = 0; d < dim; ++d) {
              score +=
                  double{q[static_cast<size_t>(h * dim + d)]} * k[static_cast<size_t>(t * dim + d)];
            }
            score *= 0.25;
            if (query.softcap > 0) score = query.softcap * std::tanh(score / query.softcap);
            total += std::exp(score);
            for (int64_t d = 0; d < dim; ++d) {
              exact[static_cast<size_t>(d)] +=
                  std::exp(score) * v[static_cast<size_t>(t * dim + d)];
            }
          }
          for (int64_t d = 0; d < dim; ++d) {
            ASSERT_NEAR(out[static_cast<size_t>(h * dim + d)],
                        exact[static_cast<size_t>(d)] / total, tolerance);
          }
        }
      }
    }
  }
}

// However many positions ask together, and however their segments are shared out. What a position
// does not see may be infinite.
TEST_P(Kernels, AttentionOfAPositionDependsNeitherOnItsNeighboursNorOnParts) {
  Rng rng(16);
  const int64_t dim = 40, tokens = 800;
  const auto k = gaussians(rng, tokens * dim);
  auto v = gaussians(rng, tokens * dim);
  for (const int64_t t : {100, 530, 779}) v[static_cast<size_t>(t * dim + 3)] = INFINITY;
  for (const KvElement element :
       {KvElement::kF32, KvElement::kBF16, KvElement::kInt8, KvElement::kInt4}) {
    const Cache cache = fill_cache(table(), element, dim, k, v);
    for (const Query& query : {Query{1, 11, 520, 0, 0}, Query{4, 8, 250, 0, 30},
                               Query{3, 9, 505, 300, 0}, Query{2, 8, 773, 6, 0}}) {
      const int64_t width = query.heads * dim;
      const auto q = gaussians(rng, query.rows * width);
      const auto together = attend(table(), cache, query, q);
      std::vector<float> alone;
      for (int64_t row = 0; row < query.rows; ++row) {
        const Query one = {query.heads, 1, query.position + row, query.window, query.softcap};
        const auto from = q.begin() + row * width;
        const auto out = attend(table(), cache, one, {from, from + width});
        alone.insert(alone.end(), out.begin(), out.end());
      }
      EXPECT_TRUE(same_bits(together, alone))
          << static_cast<int>(element) << " at " << query.position;

      std::vector<float> merged(q.size());
      std::vector<float> scratch(static_cast<size_t>(attention_scratch_floats(dim)));
      AttentionArgs args = attention_args(cache, query, q.data(), merged.data(), scratch.data());
      const int64_t segment_floats =
          query.rows * query.heads * attention_partial_floats(cache.value_stride);
      std::vector<float> partials(
          static_cast<size_t>((args.segment_end - args.segment) * segment_floats), NAN);
      args.partials = partials.data();
      for (int64_t s = args.segment_end - 1; s >= args.segment; --s) {
        AttentionArgs part = args;
        part.partials += (s - args.segment) * segment_floats;
        part.segment = s;
        part.segment_end = s + 1;
        table().attention[static_cast<size_t>(element)](part);
      }
      table().merge_attention(args);
      EXPECT_TRUE(same_bits(merged, together))
          << static_cast<int>(element) << " at " << query.position;
    }
  }
}

struct Passes {
  LogitScan scan{};
  std::vector<float> maxima, weights;
  std::vector<double> sums;
  std::vector<int32_t> ids;
};

Passes all_passes(const KernelTable& table, const std::vector<float>& logits, float limit) {
  const VocabularyKernels& kernels = table.vocabulary;
  const auto count = static_cast<int64_t>(logits.size());
  Passes passes;
  passes.maxima.resize(logits.size() / kLogitBlock + 1);
  passes.weights.resize(logits.size());
  passes.scan = kernels.scan(logits.data(), count, passes.maxima.data());
  std::vector<int32_t> ids(logits.size() + 16);
  for (int64_t i = 0; i < count; i += kLogitBlock) {
    const int64_t here = std::min(kLogitBlock, count - i);
    passes.sums.push_back(kernels.weigh({.logits = logits.data() + i,
                                         .count = here,
                                         .highest = passes.scan.highest,
                                         .scale = 1.3f,
                                         .limit = limit,
                                         .minimum = 0.01f,
                                         .weights = passes.weights.data() + i}));
    const Split split = kernels.split({.logits = logits.data() + i,
                                       .weights = passes.weights.data() + i,
                                       .count = here,
                                       .high = 0.5f,
                                       .low = limit,
                                       .first = static_cast<int32_t>(i),
                                       .ids = ids.data()});
    passes.sums.push_back(split.mass);
    passes.ids.insert(passes.ids.end(), ids.begin(), ids.begin() + split.ids);
    const int64_t found =
        kernels.collect(logits.data() + i, here, limit, static_cast<int32_t>(i), ids.data());
    passes.ids.insert(passes.ids.end(), ids.begin(), ids.begin() + found);
  }
  return passes;
}

TEST_P(Kernels, PassesOverLogitsEqualScalar) {
  Rng rng(31);
  const float inf = std::numeric_limits<float>::infinity();
  for (const int64_t count :
       {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 255, 256, 257, 300, 1000, 5003}) {
    std::vector<float> logits = gaussians(rng, count, 2);
    for (size_t i = 0; i < logits.size(); i += 7) logits[i] = i % 2 == 0 ? -inf : 0.5f;
    if (count > 100) logits[99] = -3e38f;
    for (const float limit : {-inf, 0.5f, 3.0f}) {
      const Passes expected = all_passes(kKernelsScalar, logits, limit);
      const Passes passes = all_passes(table(), logits, limit);
      EXPECT_EQ(passes.scan.highest, expected.scan.highest);
      EXPECT_EQ(passes.scan.is_broken, expected.scan.is_broken);
      EXPECT_TRUE(same_bits(passes.maxima, expected.maxima)) << count;
      EXPECT_TRUE(same_bits(passes.weights, expected.weights)) << count;
      EXPECT_EQ(passes.sums, expected.sums) << count;
      EXPECT_EQ(passes.ids, expected.ids) << count;
    }
    for (const float bad : {std::nanf(""), inf}) {
      logits[rng.next_below(logits.size())] = bad;
      EXPECT_TRUE(all_passes(table(), logits, 0).scan.is_broken) << count;
    }
  }
}

TEST_P(Kernels, WeightsAreWithinTheirErrorEverywhere) {
  double worst = 0;
  for (int first = 0; first < 900'000; first += 256) {
    std::vector<float> logits(256), weights(256);
    for (int i = 0; i < 256; ++i) {
      logits[static_cast<size_t>(i)] = static_cast<float>((first + i) * -1e-4);
    }
    table().vocabulary.weigh({.logits = logits.data(),
                              .count = 256,
                              .highest = 0,
                              .scale = 1,
                              .limit = -1000,
                              .minimum = 0,
                              .weights = weights.data()});
    for (size_t i = 0; i < 256; ++i) {
      const auto weight = static_cast<double>(weights[i]);
      const double exact = std::exp(static_cast<double>(logits[i]));
      if (logits[i] >= -87) {
        worst = std::max(worst, std::abs(weight / exact - 1));
      } else {
        EXPECT_EQ(weight, 0);
      }
      EXPECT_EQ(weight == 1, logits[i] > -1e-8f);
    }
  }
  EXPECT_LT(worst, 0x1p-21);
}

INSTANTIATE_TEST_SUITE_P(Isa, Kernels, testing::ValuesIn(usable_kernels()),
                         [](const auto& row) { return std::string(row.param->name); });

TEST(ChooseKernels, ForcesALevelOrSaysWhichThereAre) {
  EXPECT_STREQ(choose_kernels("scalar").value()->name, "scalar");
  EXPECT_EQ(choose_kernels("").value(), usable_kernels().front());
  for (const KernelTable* table : usable_kernels()) EXPECT_NE(table, &kKernelsAmxEmulated);
  if (emulated_tiles_usable()) {
    EXPECT_EQ(choose_kernels("amx-emulated").value(), &kKernelsAmxEmulated);
  }
  const auto unknown = choose_kernels("sse9");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(std::string(unknown.status().message()).find("scalar"), std::string::npos);
}

}  // namespace
}  // namespace brisk
