// Attention over paged KV, written once over Vec. Include after kv_append_body.h.
//
// A sequence's keys are walked in segments of kKvSegmentBlocks blocks, counted from position 0.
// Each segment gives a partial result (its maximum, its sum of exponentials, its weighted values)
// that depends on nothing outside it; partial results are merged in order of position. This is the
// FlashAttention recurrence (Dao et al. 2022) with a fixed partition, so the answer does not depend
// on how many queries ask, nor on who computes which segment.
#pragma once

namespace brisk {
namespace {

constexpr int64_t kSegmentTokens = kKvSegmentBlocks * kKvBlockTokens;

// Blocks lie anywhere, so the hardware's prefetcher loses its way at the end of each: what is
// needed soon is asked for here, a line at a time so that the queue of misses never fills. The
// values of a block are weighed when the scores of its segment are done.
constexpr int64_t kPrefetchBlocks = 2;
struct Soon {
  const char* keys;    // of the block kPrefetchBlocks later, or of this one near the end
  const char* values;  // of this block
};

template <class E>
inline void prefetch_row(const Soon& soon, int64_t d) {
  constexpr int64_t kRowsPerLine = 64 / (kKvBlockTokens * E::kBytes);
  const int64_t at = d * kKvBlockTokens * E::kBytes;
  if (d % kRowsPerLine == 0) __builtin_prefetch(soon.keys + at);
  if (d % kRowsPerLine == kRowsPerLine / 2) __builtin_prefetch(soon.values + at);
}

// scores[h][t] for the H heads from `q` and the 16 tokens of a block.
template <class E, int H>
inline void block_scores(const AttentionArgs& a, const float* q, const char* keys, const Soon& soon,
                         float* scores) {
  Vec acc[H];
  for (int h = 0; h < H; ++h) acc[h] = zero();
  for (int64_t d = 0; d < a.head_dim; ++d) {
    prefetch_row<E>(soon, d);
    const Vec key = E::load(keys + d * kKvBlockTokens * E::kBytes);
    for (int h = 0; h < H; ++h) acc[h] = fma(splat(q[h * a.q_stride + d]), key, acc[h]);
  }
  for (int h = 0; h < H; ++h) {
    Vec score = acc[h] * splat(a.scale);
    if constexpr (E::kMax != 0) score = score * load(keys + a.head_dim * kKvBlockTokens);
    if (a.softcap != 0) score = tanh(score * splat(1.0f / a.softcap)) * splat(a.softcap);
    store(scores + h * kSegmentTokens, score);
  }
}

// The same for int4: a group's scale and minimum are common to its dimensions, so that they are
// multiplied with sums. `sums`: (groups, H) of the query over each group.
template <int H>
inline void block_scores_int4(const AttentionArgs& a, const float* q, const float* sums,
                              const char* keys, const Soon& soon, float* scores) {
  Vec acc[H];
  for (int h = 0; h < H; ++h) acc[h] = zero();
  const int64_t scales_at = int4_key_bytes(a.head_dim);
  const char* scales = keys + scales_at;
  for (int64_t d = 0; d < a.head_dim; sums += H, scales += kInt4ScaleBytes) {
    const int64_t end = d + kKvInt4Group < a.head_dim ? d + kKvInt4Group : a.head_dim;
    __builtin_prefetch(soon.keys + scales_at + d / kKvInt4Group * kInt4ScaleBytes);
    Vec part[H];
    for (int h = 0; h < H; ++h) part[h] = zero();
    for (; d + 1 < end; d += 2) {
      const int64_t at = d / 2 * kKvBlockTokens;
      if (at % 64 == 0) __builtin_prefetch(soon.keys + at);
      if (at % 64 == 32) __builtin_prefetch(soon.values + at);
      const Nibbles key = load_nibbles(keys + at);
      for (int h = 0; h < H; ++h) {
        const float* at_d = q + h * a.q_stride + d;
        part[h] = fma(splat(at_d[1]), key.high, fma(splat(at_d[0]), key.low, part[h]));
      }
    }
    for (; d < end; ++d) {
      const Nibbles key = load_nibbles(keys + d / 2 * kKvBlockTokens);
      for (int h = 0; h < H; ++h) part[h] = fma(splat(q[h * a.q_stride + d]), key.low, part[h]);
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

// Gives every weight the scale of its token's values. Weights beyond the last token are zero, and
// their scales, which may be anything, are not used.
template <class E>
inline void scale_weights(const AttentionArgs& a, int64_t segment, int64_t begin, int64_t end,
                          float* weights) {
  for (int64_t t = begin / 16 * 16; t < end; t += 16) {
    const char* values = static_cast<const char*>(a.values) +
                         a.blocks[segment * kKvSegmentBlocks + t / 16] * a.block_bytes;
    const int64_t n = end - t < 16 ? end - t : 16;
    const Vec scales = load_first(values + a.value_stride * kKvBlockTokens, n);
    store(weights + t, load(weights + t) * scales);
  }
}

// partial[h] = sum over tokens [begin, end) of the segment of p[h][t] * value[t], D x 16
// dimensions.
template <class E, int H, int D>
inline void weigh_values(const AttentionArgs& a, int64_t segment, int64_t begin, int64_t end,
                         const float* p, int64_t dim, float* partial, int64_t partial_stride) {
  Vec acc[H][D];
  for (int h = 0; h < H; ++h) {
    for (int d = 0; d < D; ++d) acc[h][d] = zero();
  }
  const int64_t row_bytes = a.value_stride * E::kBytes;
  for (int64_t t = begin; t < end;) {
    const int64_t block = t / kKvBlockTokens;
    const int64_t stop = (block + 1) * kKvBlockTokens < end ? (block + 1) * kKvBlockTokens : end;
    const char* row = static_cast<const char*>(a.values) +
                      a.blocks[segment * kKvSegmentBlocks + block] * a.block_bytes +
                      t % kKvBlockTokens * row_bytes + dim * E::kBytes;
    for (; t < stop; ++t, row += row_bytes) {
      for (int d = 0; d < D; ++d) {
        const Vec value = E::load(row + d * 16 * E::kBytes);
        for (int h = 0; h < H; ++h) {
          acc[h][d] = fma(splat(p[h * kSegmentTokens + t]), value, acc[h][d]);
        }
      }
    }
  }
  for (int h = 0; h < H; ++h) {
    for (int d = 0; d < D; ++d) store(partial + h * partial_stride + dim + d * 16, acc[h][d]);
  }
}

// The same for int4, all dimensions: each group has its own scaled weights, and adds its tokens'
// minima, weighed, to all of its dimensions. `weights`: memory for (H, kSegmentTokens).
template <int H>
inline void weigh_values_int4(const AttentionArgs& a, int64_t segment, int64_t begin, int64_t end,
                              const float* p, float* weights, float* partial) {
  const int64_t row_bytes = int4_value_row(a.value_stride);
  const int32_t* blocks = a.blocks + segment * kKvSegmentBlocks;
  for (int64_t d = 0; d < a.value_stride; d += kKvInt4Group) {
    const int64_t group = d / kKvInt4Group;
    Vec low[H], high[H], shift[H];
    for (int h = 0; h < H; ++h) low[h] = high[h] = shift[h] = zero();
    for (int64_t t = begin; t < end;) {
      const int64_t block = t / kKvBlockTokens;
      const int64_t stop = (block + 1) * kKvBlockTokens < end ? (block + 1) * kKvBlockTokens : end;
      const char* values = static_cast<const char*>(a.values) + blocks[block] * a.block_bytes;
      const char* scales = values + row_bytes * kKvBlockTokens + group * kInt4ScaleBytes;
      const int64_t base = block * kKvBlockTokens;
      // Slots beyond the last token hold anything; their weights are zero.
      const Vec scale = keep_first(load_bf16(scales), stop - base);
      const Vec minimum = keep_first(load_bf16(scales + kInt4ScaleBytes / 2), stop - base);
      for (int h = 0; h < H; ++h) {
        const Vec weight = load(p + h * kSegmentTokens + base);
        store(weights + h * kKvBlockTokens, weight * scale);
        shift[h] = fma(weight, minimum, shift[h]);
      }
      const char* row = values + group * 16 + (t - base) * row_bytes;
      for (; t < stop; ++t, row += row_bytes) {
        const Nibbles value = load_nibbles(row);
        for (int h = 0; h < H; ++h) {
          const Vec weight = splat(weights[h * kKvBlockTokens + t - base]);
          low[h] = fma(weight, value.low, low[h]);
          high[h] = fma(weight, value.high, high[h]);
        }
      }
    }
    for (int h = 0; h < H; ++h) {
      const Vec all = splat(sum(shift[h]));
      store(partial + h * a.value_stride + d, low[h] + all);
      if (d + 16 < a.value_stride) store(partial + h * a.value_stride + d + 16, high[h] + all);
    }
  }
}

// Scores to exp(score - maximum) for tokens [begin, end) of a segment; the rest becomes 0.
// Gives the maximum and the sum.
inline void segment_softmax(float* scores, int64_t begin, int64_t end, float* maximum,
                            float* total) {
  float top = scores[begin];
  for (int64_t t = begin + 1; t < end; ++t) top = scores[t] > top ? scores[t] : top;
  Vec sums = zero();
  const int64_t first = begin / 16 * 16;
  for (int64_t t = first; t < begin; ++t) scores[t] = -__builtin_inff();
  for (int64_t t = first; t < end; t += 16) {
    const Vec e = keep_first(exp(load(scores + t) - splat(top)), end - t < 16 ? end - t : 16);
    store(scores + t, e);
    sums = sums + e;
  }
  *maximum = top;
  *total = sum(sums);
}

inline float exp_scalar(float x) { return largest(exp(splat(x))); }

// The running result of a head, merged segment by segment.
struct Running {
  float maximum;
  float total;
};

inline void merge(Running* run, float* out, float maximum, float total, const float* partial,
                  int64_t dims) {
  const float top = run->maximum > maximum ? run->maximum : maximum;
  const float old_scale = exp_scalar(run->maximum - top);
  const float new_scale = exp_scalar(maximum - top);
  run->maximum = top;
  run->total = run->total * old_scale + total * new_scale;
  for (int64_t d = 0; d < dims; d += 16) {
    store(out + d, fma(load(out + d), splat(old_scale), load(partial + d) * splat(new_scale)));
  }
}

// Memory of H heads that are done together.
struct HeadScratch {
  float* scores;   // (H, kSegmentTokens)
  float* partial;  // (H, value_stride)
  float* out;      // (H, value_stride)
  float* weights;  // int4: (H, kKvBlockTokens)
  float* sums;     // int4: (groups, H), of the query
};

// The segment's values of all dimensions, weighed by memory.scores.
template <class E, int H>
inline void weigh_segment(const AttentionArgs& a, int64_t segment, int64_t begin, int64_t end,
                          const HeadScratch& memory) {
  if constexpr (kIsInt4<E>) {
    weigh_values_int4<H>(a, segment, begin, end, memory.scores, memory.weights, memory.partial);
  } else {
    const int64_t dims = a.value_stride;
    int64_t d = 0;
    for (; d + 32 <= dims; d += 32) {
      weigh_values<E, H, 2>(a, segment, begin, end, memory.scores, d, memory.partial, dims);
    }
    if (d < dims) {
      weigh_values<E, H, 1>(a, segment, begin, end, memory.scores, d, memory.partial, dims);
    }
  }
}

template <class E, int H>
inline void attend_segment(const AttentionArgs& a, int64_t head, int64_t segment,
                           const HeadScratch& memory, Running* run) {
  const int64_t base = segment * kSegmentTokens;
  const int64_t begin = a.first > base ? a.first - base : 0;
  const int64_t end = a.last + 1 - base < kSegmentTokens ? a.last + 1 - base : kSegmentTokens;
  const float* q = a.q + head * a.q_stride;
  for (int64_t block = begin / kKvBlockTokens; block * kKvBlockTokens < end; ++block) {
    const int64_t at = segment * kKvSegmentBlocks + block;
    const int64_t later = (at + kPrefetchBlocks) * kKvBlockTokens <= a.last ? kPrefetchBlocks : 0;
    const char* keys = static_cast<const char*>(a.keys);
    const char* values = static_cast<const char*>(a.values);
    const Soon soon = {.keys = keys + a.blocks[at + later] * a.block_bytes,
                       .values = values + a.blocks[at] * a.block_bytes};
    float* const out = memory.scores + block * kKvBlockTokens;
    if constexpr (kIsInt4<E>) {
      block_scores_int4<H>(a, q, memory.sums, keys + a.blocks[at] * a.block_bytes, soon, out);
    } else {
      block_scores<E, H>(a, q, keys + a.blocks[at] * a.block_bytes, soon, out);
    }
  }
  float maximum[H], total[H];
  for (int h = 0; h < H; ++h) {
    float* const scores = memory.scores + h * kSegmentTokens;
    segment_softmax(scores, begin, end, &maximum[h], &total[h]);
    if constexpr (E::kMax != 0) scale_weights<E>(a, segment, begin, end, scores);
  }
  const int64_t dims = a.value_stride;
  weigh_segment<E, H>(a, segment, begin, end, memory);
  for (int h = 0; h < H; ++h) {
    merge(&run[h], memory.out + h * dims, maximum[h], total[h], memory.partial + h * dims, dims);
  }
}

// The sums of each query over each group of dimensions.
template <int H>
inline void sum_query(const AttentionArgs& a, const float* q, float* sums) {
  for (int64_t d = 0; d < a.head_dim; d += kKvInt4Group, sums += H) {
    const int64_t n = a.head_dim - d < kKvInt4Group ? a.head_dim - d : kKvInt4Group;
    for (int h = 0; h < H; ++h) {
      const float* at = q + h * a.q_stride + d;
      sums[h] = sum(load_first(at, n < 16 ? n : 16) + load_first(at + 16, n < 16 ? 0 : n - 16));
    }
  }
}

template <class E, int H>
inline void attend_heads(const AttentionArgs& a, int64_t head) {
  float* const partial = a.scratch + H * kSegmentTokens;
  float* const out = partial + H * a.value_stride;
  float* const weights = out + H * a.value_stride;
  const HeadScratch memory = {.scores = a.scratch,
                              .partial = partial,
                              .out = out,
                              .weights = weights,
                              .sums = weights + H * kKvBlockTokens};
  Running run[H];
  for (int h = 0; h < H; ++h) run[h] = {-__builtin_inff(), 0};
  for (int64_t i = 0; i < H * a.value_stride; i += 16) store(out + i, zero());
  if constexpr (kIsInt4<E>) sum_query<H>(a, a.q + head * a.q_stride, memory.sums);
  for (int64_t s = a.first / kSegmentTokens; s * kSegmentTokens <= a.last; ++s) {
    attend_segment<E, H>(a, head, s, memory, run);
  }
  for (int h = 0; h < H; ++h) {
    const Vec inverse = splat(1.0f / run[h].total);
    float* y = a.out + (head + h) * a.out_stride;
    each_16(a.head_dim, [&](int64_t d, int64_t n) {
      store_first(y + d, load(out + h * a.value_stride + d) * inverse, n);
    });
  }
}

template <class E>
void attention(const AttentionArgs& a) {
  int64_t head = 0;
  for (; head + 8 <= a.heads; head += 8) attend_heads<E, 8>(a, head);
  for (; head + 4 <= a.heads; head += 4) attend_heads<E, 4>(a, head);
  for (; head + 2 <= a.heads; head += 2) attend_heads<E, 2>(a, head);
  for (; head < a.heads; ++head) attend_heads<E, 1>(a, head);
}

}  // namespace
}  // namespace brisk
