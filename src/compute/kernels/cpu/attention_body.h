// Attention over paged KV, written once over Vec. Include after kv_append_body.h and
// attention_partials_body.h.
//
// H queries, of the heads and positions of a call, are done together: each key and each value that
// is loaded serves them all. What a query does not see (later positions, those before its window)
// never meets its numbers.
#pragma once

namespace brisk {
namespace {

// What H queries that are done together see of a segment.
template <int H>
struct Seen {
  TokenRange each[H];
  TokenRange any;  // from the first to the last that one of them sees
  TokenRange all;  // what every one of them sees
};
template <int H>
inline Seen<H> seen_by_all(const AttentionArgs& a, int64_t query, int64_t segment) {
  Seen<H> seen;
  for (int h = 0; h < H; ++h) {
    seen.each[h] = seen_by(a, query + h, segment);
    seen.any = h == 0 ? seen.each[h] : hull(seen.any, seen.each[h]);
    seen.all = h == 0 ? seen.each[h] : overlap(seen.all, seen.each[h]);
  }
  return seen;
}

// Memory of H queries that are done together.
struct QueryScratch {
  float* queries;  // (head_dim, H)
  float* sums;     // int4: (groups, H), of the queries
  float* scores;   // (H, kSegmentTokens)
  float* weights;  // int4: (H, kKvBlockTokens)
  float* out;      // (H, value_stride)
  Partial partials[kAttentionQueriesTogetherMax];
};

// Blocks lie anywhere, so the hardware's prefetcher loses its way at the end of each: what is
// needed soon is asked for here, a line at a time so that the queue of misses never fills. Into the
// second-level cache: the values of a segment are weighed when its scores are done, and with its
// keys they are as large as the first level.
constexpr int64_t kPrefetchBlocks = 4;
constexpr int kIntoL2 = 2;  // as __builtin_prefetch counts
struct Soon {
  const char* keys;    // of the block kPrefetchBlocks later, or of this one near the end
  const char* values;  // of this block
};

template <class E>
inline void prefetch_row(const Soon& soon, int64_t d) {
  constexpr int64_t kRowsPerLine = 64 / (kKvBlockTokens * E::kBytes);
  const int64_t at = d * kKvBlockTokens * E::kBytes;
  if (d % kRowsPerLine == 0) __builtin_prefetch(soon.keys + at, 0, kIntoL2);
  if (d % kRowsPerLine == kRowsPerLine / 2) __builtin_prefetch(soon.values + at, 0, kIntoL2);
}

// scores[h][t] for H queries and the 16 tokens of a block.
template <class E, int H>
inline void block_scores(const AttentionArgs& a, const float* q, const char* keys, const Soon& soon,
                         float* scores) {
  Vec acc[H];
  for (int h = 0; h < H; ++h) acc[h] = zero();
  for (int64_t d = 0; d < a.head_dim; ++d, q += H) {
    prefetch_row<E>(soon, d);
    const Vec key = E::load(keys + d * kKvBlockTokens * E::kBytes);
    for (int h = 0; h < H; ++h) acc[h] = fma(splat(q[h]), key, acc[h]);
  }
  for (int h = 0; h < H; ++h) {
    Vec score = acc[h] * splat(a.scale);
    if constexpr (E::kMax != 0) score = score * load(keys + a.head_dim * kKvBlockTokens);
    if (a.softcap != 0) score = tanh(score * splat(1.0f / a.softcap)) * splat(a.softcap);
    store(scores + h * kSegmentTokens, score);
  }
}

// The same for int4: a group's scale and minimum are common to its dimensions, so that they are
// multiplied with sums.
template <int H>
inline void block_scores_int4(const AttentionArgs& a, const QueryScratch& memory, const char* keys,
                              const Soon& soon, float* scores) {
  Vec acc[H];
  for (int h = 0; h < H; ++h) acc[h] = zero();
  const int64_t scales_at = int4_key_bytes(a.head_dim);
  const char* scales = keys + scales_at;
  const float* sums = memory.sums;
  for (int64_t d = 0; d < a.head_dim; sums += H, scales += kInt4ScaleBytes) {
    const int64_t end = d + kKvInt4Group < a.head_dim ? d + kKvInt4Group : a.head_dim;
    __builtin_prefetch(soon.keys + scales_at + d / kKvInt4Group * kInt4ScaleBytes, 0, kIntoL2);
    Vec part[H];
    for (int h = 0; h < H; ++h) part[h] = zero();
    const float* q = memory.queries + d * H;
    for (; d + 1 < end; d += 2, q += 2 * H) {
      const int64_t at = d / 2 * kKvBlockTokens;
      if (at % 64 == 0) __builtin_prefetch(soon.keys + at, 0, kIntoL2);
      if (at % 64 == 32) __builtin_prefetch(soon.values + at, 0, kIntoL2);
      const Nibbles key = load_nibbles(keys + at);
      for (int h = 0; h < H; ++h) {
        part[h] = fma(splat(q[H + h]), key.high, fma(splat(q[h]), key.low, part[h]));
      }
    }
    for (; d < end; ++d, q += H) {
      const Nibbles key = load_nibbles(keys + d / 2 * kKvBlockTokens);
      for (int h = 0; h < H; ++h) part[h] = fma(splat(q[h]), key.low, part[h]);
    }
    const Vec scale = load_bf16(scales), minimum = load_bf16(scales + kInt4ScaleBytes / 2);
    for (int h = 0; h < H; ++h) {
      acc[h] = fma(splat(sums[h]), minimum, fma(part[h], scale, acc[h]));
    }
  }
  for (int h = 0; h < H; ++h) {
    Vec score = acc[h] * splat(a.scale);
    if (a.softcap != 0) score = tanh(score * splat(1.0f / a.softcap)) * splat(a.softcap);
    store(scores + h * kSegmentTokens, score);
  }
}

// Gives every weight the scale of its token's values.
template <class E>
inline void scale_weights(const AttentionArgs& a, int64_t segment, TokenRange seen,
                          float* weights) {
  for (int64_t t = seen.begin / 16 * 16; t < seen.end; t += 16) {
    const char* values = static_cast<const char*>(a.values) +
                         a.blocks[segment * kKvSegmentBlocks + t / 16] * a.block_bytes;
    const int64_t n = seen.end - t < 16 ? seen.end - t : 16;
    const Vec scales = load_first(values + a.value_stride * kKvBlockTokens, n);
    store(weights + t, load(weights + t) * scales);
  }
}

// For queries h < H of memory: partials[h] += scores[h][t] * value[t] over `tokens` of a segment,
// in order, D x 16 dimensions from `dim` on.
template <class E, int H, int D>
inline void weigh_values(const AttentionArgs& a, int64_t segment, TokenRange tokens,
                         const float* scores, const Partial* partials, int64_t dim) {
  Vec acc[H][D];
  for (int h = 0; h < H; ++h) {
    for (int d = 0; d < D; ++d) acc[h][d] = load(partials[h].values() + dim + d * 16);
  }
  const int64_t row_bytes = a.value_stride * E::kBytes;
  for (int64_t t = tokens.begin; t < tokens.end;) {
    const int64_t block = t / kKvBlockTokens;
    const TokenRange here = overlap(tokens, {t, (block + 1) * kKvBlockTokens});
    const char* row = static_cast<const char*>(a.values) +
                      a.blocks[segment * kKvSegmentBlocks + block] * a.block_bytes +
                      t % kKvBlockTokens * row_bytes + dim * E::kBytes;
    for (; t < here.end; ++t, row += row_bytes) {
      for (int d = 0; d < D; ++d) {
        const Vec value = E::load(row + d * 16 * E::kBytes);
        for (int h = 0; h < H; ++h) {
          acc[h][d] = fma(splat(scores[h * kSegmentTokens + t]), value, acc[h][d]);
        }
      }
    }
  }
  for (int h = 0; h < H; ++h) {
    for (int d = 0; d < D; ++d) store(partials[h].values() + dim + d * 16, acc[h][d]);
  }
}

// The same for all dimensions.
template <class E, int H>
inline void weigh_tokens(const AttentionArgs& a, int64_t segment, TokenRange tokens,
                         const float* scores, const Partial* partials) {
  if (is_empty(tokens)) return;
  int64_t d = 0;
  for (; d + 32 <= a.value_stride; d += 32) {
    weigh_values<E, H, 2>(a, segment, tokens, scores, partials, d);
  }
  if (d < a.value_stride) weigh_values<E, H, 1>(a, segment, tokens, scores, partials, d);
}

// All that the queries see of a segment of int4: each group has its own scaled weights, and adds
// its tokens' minima, weighed, to all of its dimensions. kSame: every query sees the same.
template <int H, bool kSame>
inline void weigh_values_int4(const AttentionArgs& a, int64_t segment, const Seen<H>& seen,
                              const QueryScratch& memory) {
  const int64_t row_bytes = int4_value_row(a.value_stride);
  const int32_t* blocks = a.blocks + segment * kKvSegmentBlocks;
  float* const weights = memory.weights;
  for (int64_t d = 0; d < a.value_stride; d += kKvInt4Group) {
    const int64_t group = d / kKvInt4Group;
    Vec low[H], high[H], shift[H];
    for (int h = 0; h < H; ++h) low[h] = high[h] = shift[h] = zero();
    for (int64_t t = seen.any.begin; t < seen.any.end;) {
      const int64_t base = t / kKvBlockTokens * kKvBlockTokens;
      const TokenRange here = overlap(seen.any, {t, base + kKvBlockTokens});
      const char* values =
          static_cast<const char*>(a.values) + blocks[base / kKvBlockTokens] * a.block_bytes;
      const char* scales = values + row_bytes * kKvBlockTokens + group * kInt4ScaleBytes;
      const Vec scale = load_bf16(scales), minimum = load_bf16(scales + kInt4ScaleBytes / 2);
      for (int h = 0; h < H; ++h) {
        if (!kSame && is_empty(overlap(seen.each[h], here))) continue;
        const int64_t n = seen.each[h].end - base;  // slots beyond them hold anything
        const Vec weight = load(memory.scores + h * kSegmentTokens + base);
        store(weights + h * kKvBlockTokens, weight * scale);
        shift[h] = fma(weight, n < 16 ? keep_first(minimum, n) : minimum, shift[h]);
      }
      const char* row = values + group * 16 + (t - base) * row_bytes;
      for (; t < here.end; ++t, row += row_bytes) {
        const Nibbles value = load_nibbles(row);
        for (int h = 0; h < H; ++h) {
          if (!kSame && !holds(seen.each[h], t)) continue;
          const Vec weight = splat(weights[h * kKvBlockTokens + t - base]);
          low[h] = fma(weight, value.low, low[h]);
          high[h] = fma(weight, value.high, high[h]);
        }
      }
    }
    for (int h = 0; h < H; ++h) {
      const Vec all = splat(sum(shift[h]));
      float* const partial = memory.partials[h].values();
      store(partial + d, low[h] + all);
      if (d + 16 < a.value_stride) store(partial + d + 16, high[h] + all);
    }
  }
}

// What the queries see of the segment's values, weighed by memory.scores.
template <class E, int H>
inline void weigh_segment(const AttentionArgs& a, int64_t segment, const Seen<H>& seen,
                          const QueryScratch& memory) {
  const TokenRange any = seen.any, all = seen.all;
  const bool same = any.begin == all.begin && any.end == all.end;
  if constexpr (kIsInt4<E>) {
    if (same) {
      weigh_values_int4<H, true>(a, segment, seen, memory);
    } else {
      weigh_values_int4<H, false>(a, segment, seen, memory);
    }
  } else {
    const auto weigh_one = [&](int h, TokenRange tokens) {
      weigh_tokens<E, 1>(a, segment, tokens, memory.scores + h * kSegmentTokens,
                         memory.partials + h);
    };
    for (int h = 0; h < H; ++h) clear(memory.partials[h].values(), a.value_stride);
    for (int h = 0; !same && h < H; ++h) {
      weigh_one(h, is_empty(all) ? seen.each[h] : overlap(seen.each[h], {0, all.begin}));
    }
    weigh_tokens<E, H>(a, segment, all, memory.scores, memory.partials);
    for (int h = 0; !same && !is_empty(all) && h < H; ++h) {
      weigh_one(h, overlap(seen.each[h], {all.end, kSegmentTokens}));
    }
  }
}

// Queries `query` and on of the call, over one segment, into memory.partials.
template <class E, int H>
inline void attend_segment(const AttentionArgs& a, int64_t query, int64_t segment,
                           const QueryScratch& memory) {
  const Seen<H> seen = seen_by_all<H>(a, query, segment);
  const auto* const keys = static_cast<const char*>(a.keys);
  const auto* const values = static_cast<const char*>(a.values);
  const int64_t last = a.position + a.rows - 1;
  for (int64_t block = seen.any.begin / kKvBlockTokens; block * kKvBlockTokens < seen.any.end;
       ++block) {
    const int64_t at = segment * kKvSegmentBlocks + block;
    const int64_t later = (at + kPrefetchBlocks) * kKvBlockTokens <= last ? kPrefetchBlocks : 0;
    const Soon soon = {.keys = keys + a.blocks[at + later] * a.block_bytes,
                       .values = values + a.blocks[at] * a.block_bytes};
    const char* const here = keys + a.blocks[at] * a.block_bytes;
    float* const out = memory.scores + block * kKvBlockTokens;
    if constexpr (kIsInt4<E>) {
      block_scores_int4<H>(a, memory, here, soon, out);
    } else {
      block_scores<E, H>(a, memory.queries, here, soon, out);
    }
  }
  for (int h = 0; h < H; ++h) {
    const Partial partial = memory.partials[h];
    float* const scores = memory.scores + h * kSegmentTokens;
    partial.total() = 0;
    if (is_empty(seen.each[h])) continue;
    segment_softmax(scores, seen.each[h], &partial.maximum(), &partial.total());
    if constexpr (E::kMax != 0) scale_weights<E>(a, segment, seen.each[h], scores);
  }
  weigh_segment<E, H>(a, segment, seen, memory);
}

// Side by side for block_scores(), and their sums over each group of dimensions.
template <int H, bool kWithSums>
inline void load_queries(const AttentionArgs& a, int64_t query, const QueryScratch& memory) {
  for (int h = 0; h < H; ++h) {
    const float* q = query_at(a, query + h);
    for (int64_t d = 0; d < a.head_dim; ++d) memory.queries[d * H + h] = q[d];
    if constexpr (!kWithSums) continue;
    for (int64_t d = 0; d < a.head_dim; d += kKvInt4Group) {
      const int64_t n = a.head_dim - d < kKvInt4Group ? a.head_dim - d : kKvInt4Group;
      memory.sums[d / kKvInt4Group * H + h] =
          sum(load_first(q + d, n < 16 ? n : 16) + load_first(q + d + 16, n < 16 ? 0 : n - 16));
    }
  }
}

template <class E, int H>
inline void attend_queries(const AttentionArgs& a, int64_t query) {
  const int64_t dims = a.value_stride, partial_floats = attention_partial_floats(dims);
  QueryScratch memory;
  memory.scores = a.scratch;
  memory.out = memory.scores + H * kSegmentTokens;
  memory.weights = memory.out + H * dims;
  memory.sums = memory.weights + H * kKvBlockTokens;
  memory.queries = memory.sums + H * (a.head_dim / kKvInt4Group + 1);
  float* const own = memory.queries + H * a.head_dim;
  load_queries<H, kIsInt4<E>>(a, query, memory);
  const bool merges = a.partials == nullptr;
  for (int h = 0; h < H; ++h) memory.partials[h] = {own + h * partial_floats};
  Running run[H];
  if (merges) clear(memory.out, H * dims);
  for (int64_t s = a.segment; s < a.segment_end; ++s) {
    if (!merges) {
      const int64_t first = (s - a.segment) * a.rows * a.heads + query;
      for (int h = 0; h < H; ++h) {
        memory.partials[h] = {a.partials + (first + h) * partial_floats};
      }
    }
    attend_segment<E, H>(a, query, s, memory);
    for (int h = 0; merges && h < H; ++h) {
      merge(&run[h], memory.out + h * dims, memory.partials[h], dims);
    }
  }
  for (int h = 0; merges && h < H; ++h) finish(a, query + h, run[h], memory.out + h * dims);
}

template <class E>
void attention(const AttentionArgs& a) {
  const int64_t queries = a.rows * a.heads;
  int64_t query = 0;
  if constexpr (kQueriesTogether == 8) {
    for (; query + 8 <= queries; query += 8) attend_queries<E, 8>(a, query);
  }
  for (; query + 4 <= queries; query += 4) attend_queries<E, 4>(a, query);
  for (; query + 2 <= queries; query += 2) attend_queries<E, 2>(a, query);
  for (; query < queries; ++query) attend_queries<E, 1>(a, query);
}

}  // namespace
}  // namespace brisk
