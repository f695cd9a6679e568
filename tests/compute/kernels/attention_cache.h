// KV caches of one head, and calls of attention kernels on them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "compute/kernels/cpu/kernel_table.h"

namespace brisk {

// A KV cache of one head in blocks that lie in a shuffled order.
struct Cache {
  int64_t dim, value_stride, block_bytes;
  KvElement element;
  std::vector<int32_t> table;
  std::vector<char> keys, values;
};

inline Cache fill_cache(const KernelTable& kernels, KvElement element, int64_t dim,
                        const std::vector<float>& k, const std::vector<float>& v) {
  const int64_t tokens = static_cast<int64_t>(k.size()) / dim;
  const int64_t blocks = (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  Cache cache = {.dim = dim,
                 .value_stride = (dim + 15) / 16 * 16,
                 .block_bytes = 0,
                 .element = element,
                 .table = {},
                 .keys = {},
                 .values = {}};
  cache.block_bytes = cache.value_stride * kKvBlockTokens * 4;
  for (int64_t b = 0; b < blocks; ++b) {
    cache.table.push_back(static_cast<int32_t>(blocks - 1 - b));
  }
  // Slots that were never written hold NaN: they must not matter.
  cache.keys.assign(static_cast<size_t>(blocks * cache.block_bytes), '\xFF');
  cache.values = cache.keys;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t offset = cache.table[static_cast<size_t>(t / kKvBlockTokens)] * cache.block_bytes;
    kernels.kv_append[static_cast<size_t>(element)]({.key = k.data() + t * dim,
                                                     .value = v.data() + t * dim,
                                                     .head_dim = dim,
                                                     .value_stride = cache.value_stride,
                                                     .keys = cache.keys.data() + offset,
                                                     .values = cache.values.data() + offset,
                                                     .slot = t % kKvBlockTokens});
  }
  return cache;
}

// `rows` positions from `position` on, each seeing the last `window` up to its own (0: all).
struct Query {
  int64_t heads, rows, position, window;
  float softcap;

  int64_t first_seen(int64_t row) const {
    return window > 0 ? std::max<int64_t>(0, position + row - window + 1) : 0;
  }
};

inline AttentionArgs attention_args(const Cache& cache, const Query& query, const float* q,
                                    float* out, float* scratch) {
  constexpr int64_t kSegment = kKvSegmentBlocks * kKvBlockTokens;
  return {.q = q,
          .q_stride = query.heads * cache.dim,
          .rows = query.rows,
          .heads = query.heads,
          .head_dim = cache.dim,
          .value_stride = cache.value_stride,
          .blocks = cache.table.data(),
          .keys = cache.keys.data(),
          .values = cache.values.data(),
          .block_bytes = cache.block_bytes,
          .position = query.position,
          .window = query.window,
          .segment = query.first_seen(0) / kSegment,
          .segment_end = (query.position + query.rows - 1) / kSegment + 1,
          .scale = 0.25f,
          .softcap = query.softcap,
          .out = out,
          .out_stride = query.heads * cache.dim,
          .partials = nullptr,
          .scratch = scratch};
}

inline std::vector<float> attend(const KernelTable& kernels, const Cache& cache, const Query& query,
                                 const std::vector<float>& q) {
  std::vector<float> out(q.size());
  std::vector<float> scratch(static_cast<size_t>(attention_scratch_floats(cache.dim)));
  kernels.attention[static_cast<size_t>(cache.element)](
      attention_args(cache, query, q.data(), out.data(), scratch.data()));
  return out;
}

}  // namespace brisk
