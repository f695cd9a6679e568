// Attention in tiles against its definition (kernel_table.h, tiles.h), to the bit: over a tile unit
// in software; the machine code with its tile instructions trapped; and, where there is one, the
// real thing.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "tests/compute/kernels/attention_cache.h"
#include "tests/compute/kernels/tile_definition.h"
#include "tests/compute/kernels/tile_units.h"
// The scalar definitions of exp, of a segment's softmax and of merging.
// clang-format off
#include "compute/kernels/cpu/vec_scalar.h"
#include "compute/kernels/cpu/math_body.h"
#include "compute/kernels/cpu/attention_partials_body.h"
// clang-format on

namespace brisk {
namespace {

std::vector<float> gaussians(Rng& rng, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.next_gaussian());
  return values;
}

// An element as the cache has it: token `slot`'s of a block, without its scale.
float element_at(KvElement element, const char* at, int64_t index) {
  char bytes[64] = {};
  const int64_t size = element == KvElement::kBF16 ? 2 : 1;
  std::memcpy(bytes, at + index * size, static_cast<size_t>(size));
  return (element == KvElement::kBF16   ? load_bf16(bytes)
          : element == KvElement::kInt8 ? load_i8(bytes)
                                        : load_fp8(bytes))
      .v[0];
}
float scale_at(KvElement element, const char* at, int64_t bytes, int64_t slot) {
  if (element == KvElement::kBF16) return 1;
  float scale;
  std::memcpy(&scale, at + bytes + 4 * slot, 4);
  return scale;
}

// What one query gets, number by number.
std::vector<float> defined_attention(const Cache& cache, const AttentionArgs& a, int64_t query) {
  const int64_t depth = (a.head_dim + 31) / 32 * 32;
  std::vector<float> q(static_cast<size_t>(depth)), out(static_cast<size_t>(a.value_stride));
  for (int64_t d = 0; d < a.head_dim; ++d) {
    q[static_cast<size_t>(d)] = rounded(query_at(a, query)[d]);
  }
  Running running;
  for (int64_t s = a.segment; s < a.segment_end; ++s) {
    const TokenRange seen = seen_by(a, query, s);
    if (is_empty(seen)) continue;
    std::vector<float> scores(kSegmentTokens), weights(kSegmentTokens);
    std::vector<float> values(static_cast<size_t>(kSegmentTokens * a.value_stride));
    std::vector<float> value_scales(kSegmentTokens);
    for (int64_t t = seen.begin; t < seen.end; ++t) {
      const int64_t slot = t % kKvBlockTokens;
      const int64_t offset = a.blocks[s * kKvSegmentBlocks + t / kKvBlockTokens] * a.block_bytes;
      const char* keys = static_cast<const char*>(a.keys) + offset;
      const char* at = static_cast<const char*>(a.values) + offset;
      std::vector<float> key(static_cast<size_t>(depth));
      for (int64_t d = 0; d < a.head_dim; ++d) {
        key[static_cast<size_t>(d)] = element_at(cache.element, keys, d * kKvBlockTokens + slot);
      }
      float score = defined_dot(q.data(), key.data(), depth) * a.scale;
      if (cache.element != KvElement::kBF16) {
        score *= scale_at(cache.element, keys, a.head_dim * kKvBlockTokens, slot);
      }
      if (a.softcap != 0) score = tanh(splat(score) * splat(1.0f / a.softcap)).v[0] * a.softcap;
      scores[static_cast<size_t>(t)] = score;
      for (int64_t d = 0; d < a.value_stride; ++d) {
        values[static_cast<size_t>(d * kSegmentTokens + t)] =
            element_at(cache.element, at, slot * a.value_stride + d);
      }
      value_scales[static_cast<size_t>(t)] =
          scale_at(cache.element, at, a.value_stride * kKvBlockTokens, slot);
    }
    std::vector<float> partial(static_cast<size_t>(attention_partial_floats(a.value_stride)));
    const Partial result = {partial.data()};
    segment_softmax(scores.data(), seen, &result.maximum(), &result.total());
    for (int64_t t = seen.begin; t < seen.end; ++t) {
      const auto i = static_cast<size_t>(t);
      weights[i] =
          rounded(cache.element == KvElement::kBF16 ? scores[i] : scores[i] * value_scales[i]);
    }
    for (int64_t d = 0; d < a.value_stride; ++d) {
      result.values()[d] =
          defined_dot(weights.data(), values.data() + d * kSegmentTokens, kSegmentTokens);
    }
    merge(&running, out.data(), result, a.value_stride);
  }
  for (float& value : out) value *= 1.0f / running.total;
  out.resize(static_cast<size_t>(a.head_dim));
  return out;
}

class TileAttentionTest : public OnTileUnits<TileAttention> {
 protected:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  // With scratch that holds NaNs.
  std::vector<float> attend_in_tiles(const Cache& cache, const Query& query,
                                     const std::vector<float>& q, bool in_parts = false) const {
    const auto kernel = kernels().attention[static_cast<size_t>(cache.element)];
    std::vector<float> out(q.size(), NAN);
    std::vector<Line> scratch(
        static_cast<size_t>((tile_attention_scratch_bytes(cache.dim) + 63) / 64));
    std::memset(scratch.data(), 0xFF, scratch.size() * sizeof(Line));
    AttentionArgs args = attention_args(cache, query, q.data(), out.data(),
                                        reinterpret_cast<float*>(scratch.data()));
    if (!in_parts) {
      kernel(args);
      return out;
    }
    const int64_t each = query.rows * query.heads * attention_partial_floats(cache.value_stride);
    std::vector<float> partials(static_cast<size_t>((args.segment_end - args.segment) * each), NAN);
    args.partials = partials.data();
    for (int64_t s = args.segment_end - 1; s >= args.segment; --s) {
      AttentionArgs part = args;
      part.partials += (s - args.segment) * each;
      part.segment = s;
      part.segment_end = s + 1;
      kernel(part);
    }
    kKernelsScalar.merge_attention(args);
    return out;
  }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

constexpr KvElement kHeld[] = {KvElement::kBF16, KvElement::kInt8, KvElement::kFp8};

TEST_P(TileAttentionTest, EqualsItsDefinition) {
  Rng rng(21);
  for (const int64_t dim : {8, 20, 33, 64, 80, 128}) {
    const int64_t tokens = 600;
    const auto k = gaussians(rng, tokens * dim), v = gaussians(rng, tokens * dim);
    for (const KvElement element : kHeld) {
      const Cache cache = fill_cache(kKernelsScalar, element, dim, k, v);
      for (const Query& query :
           {Query{1, 1, 0, 0, 0}, Query{3, 1, 255, 0, 0}, Query{7, 9, 250, 0, 0},
            Query{16, 1, 529, 0, 50}, Query{2, 21, 406, 111, 0}, Query{5, 13, 505, 300, 0},
            Query{71, 1, 299, 0, 0}}) {
        if (unit().trap && (dim > 33 || query.rows * query.heads > 16)) continue;
        const auto q = gaussians(rng, query.rows * query.heads * dim);
        const auto out = attend_in_tiles(cache, query, q);
        const AttentionArgs args = attention_args(cache, query, q.data(), nullptr, nullptr);
        for (int64_t i = 0; i < query.rows * query.heads; ++i) {
          const auto from = out.begin() + i * dim;
          ASSERT_TRUE(same_bits({from, from + dim}, defined_attention(cache, args, i)))
              << "element " << static_cast<int>(element) << " dim " << dim << " position "
              << query.position << " query " << i;
        }
        EXPECT_TRUE(same_bits(attend_in_tiles(cache, query, q, /*in_parts=*/true), out));
      }
    }
  }
}

TEST_P(TileAttentionTest, APositionsBitsDoNotDependOnItsNeighbours) {
  if (unit().trap) GTEST_SKIP() << "slow, and the definition knows no neighbours";
  Rng rng(22);
  const int64_t dim = 48, tokens = 640;
  const auto k = gaussians(rng, tokens * dim), v = gaussians(rng, tokens * dim);
  for (const KvElement element : kHeld) {
    const Cache cache = fill_cache(kKernelsScalar, element, dim, k, v);
    for (const Query& query :
         {Query{4, 16, 500, 0, 0}, Query{1, 64, 440, 0, 30}, Query{3, 21, 505, 40, 0}}) {
      const int64_t width = query.heads * dim;
      const auto q = gaussians(rng, query.rows * width);
      const auto together = attend_in_tiles(cache, query, q);
      for (int64_t row = 0; row < query.rows; ++row) {
        const Query one = {query.heads, 1, query.position + row, query.window, query.softcap};
        const auto from = q.begin() + row * width, mine = together.begin() + row * width;
        EXPECT_TRUE(
            same_bits(attend_in_tiles(cache, one, {from, from + width}), {mine, mine + width}))
            << row;
      }
    }
  }
}

TEST_P(TileAttentionTest, IsNearAttentionInFloats) {
  Rng rng(23);
  const int64_t dim = 64, tokens = 300;
  const auto k = gaussians(rng, tokens * dim), v = gaussians(rng, tokens * dim);
  for (const KvElement element : kHeld) {
    const Cache cache = fill_cache(kKernelsScalar, element, dim, k, v);
    const Query query = {4, 1, 290, 0, 0};
    const auto q = gaussians(rng, query.heads * dim);
    const auto out = attend_in_tiles(cache, query, q),
               exact = attend(kKernelsScalar, cache, query, q);
    double error = 0, size = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      error += std::pow(double{out[i]} - double{exact[i]}, 2);
      size += std::pow(double{exact[i]}, 2);
    }
    EXPECT_LT(std::sqrt(error / size), 0.01);
    EXPECT_GT(error, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Unit, TileAttentionTest,
                         tile_units(kTileAttentionEmulated, kTileAttentionAmx),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace brisk
