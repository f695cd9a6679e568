// Attention over paged KV, written once over Vec. Include after elementwise_body.h.
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

// kMax: 0, or the largest number that elements hold; they are then scaled by token and head.
struct F32Kv {
  static constexpr int64_t kBytes = 4;
  static constexpr float kMax = 0;
  static Vec load(const char* p) { return brisk::load(p); }
  static void store(char* p, Vec a) { brisk::store(p, a); }
};
struct F16Kv {
  static constexpr int64_t kBytes = 2;
  static constexpr float kMax = 0;
  static Vec load(const char* p) { return load_f16(p); }
  static void store(char* p, Vec a) { store_f16(p, a); }
};
struct BF16Kv {
  static constexpr int64_t kBytes = 2;
  static constexpr float kMax = 0;
  static Vec load(const char* p) { return load_bf16(p); }
  static void store(char* p, Vec a) { store_bf16(p, a); }
};
struct Int8Kv {
  static constexpr int64_t kBytes = 1;
  static constexpr float kMax = 127;
  static Vec load(const char* p) { return load_i8(p); }
  static void store(char* p, Vec a) { store_i8(p, round_to_even(a)); }
};
struct Fp8Kv {
  static constexpr int64_t kBytes = 1;
  static constexpr float kMax = 448;
  static Vec load(const char* p) { return load_fp8(p); }
  static void store(char* p, Vec a) { store_fp8(p, a); }
};

// The scale of one token's vector, and what its elements are multiplied with.
struct TokenScale {
  float scale, inverse;
};
template <class E>
inline TokenScale scale_of(const float* x, int64_t dim) {
  Vec top = zero();
  each_16(dim, [&](int64_t d, int64_t n) { top = max(absolute(load_first(x + d, n)), top); });
  const float most = largest(top);
  if (!(most > 1e-30f)) return {0, 0};
  return {most * (1.0f / E::kMax), E::kMax / most};
}

// What is scaled never exceeds kMax, but for a rounding of the inverse.
template <class E>
inline Vec scaled(Vec x, float inverse) {
  return min(max(x * splat(inverse), splat(-E::kMax)), splat(E::kMax));
}

template <class E>
void kv_append(const KvAppendArgs& a) {
  char* keys = static_cast<char*>(a.keys) + a.slot * E::kBytes;
  char* values = static_cast<char*>(a.values) + a.slot * a.value_stride * E::kBytes;
  TokenScale key = {1, 1}, value = {1, 1};
  if constexpr (E::kMax != 0) {
    key = scale_of<E>(a.key, a.head_dim);
    value = scale_of<E>(a.value, a.head_dim);
    char* key_scales = static_cast<char*>(a.keys) + a.head_dim * kKvBlockTokens;
    char* value_scales = static_cast<char*>(a.values) + a.value_stride * kKvBlockTokens;
    __builtin_memcpy(key_scales + 4 * a.slot, &key.scale, 4);
    __builtin_memcpy(value_scales + 4 * a.slot, &value.scale, 4);
  }
  each_16(a.head_dim, [&](int64_t d, int64_t n) {
    char column[16 * E::kBytes];
    Vec k = load_first(a.key + d, n), v = load_first(a.value + d, n);
    if constexpr (E::kMax != 0) {
      k = scaled<E>(k, key.inverse);
      v = scaled<E>(v, value.inverse);
    }
    E::store(column, k);
    for (int64_t i = 0; i < n; ++i) {
      __builtin_memcpy(keys + (d + i) * kKvBlockTokens * E::kBytes, column + i * E::kBytes,
                       static_cast<size_t>(E::kBytes));
    }
    E::store(values + d * E::kBytes, v);
  });
}

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

template <class E, int H>
inline void attend_segment(const AttentionArgs& a, int64_t head, int64_t segment, float* scores,
                           float* partial, float* out, Running* run) {
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
    block_scores<E, H>(a, q, keys + a.blocks[at] * a.block_bytes, soon,
                       scores + block * kKvBlockTokens);
  }
  float maximum[H], total[H];
  for (int h = 0; h < H; ++h) {
    segment_softmax(scores + h * kSegmentTokens, begin, end, &maximum[h], &total[h]);
    if constexpr (E::kMax != 0) {
      scale_weights<E>(a, segment, begin, end, scores + h * kSegmentTokens);
    }
  }
  const int64_t dims = a.value_stride;
  int64_t d = 0;
  for (; d + 32 <= dims; d += 32) {
    weigh_values<E, H, 2>(a, segment, begin, end, scores, d, partial, dims);
  }
  if (d < dims) weigh_values<E, H, 1>(a, segment, begin, end, scores, d, partial, dims);
  for (int h = 0; h < H; ++h) {
    merge(&run[h], out + h * dims, maximum[h], total[h], partial + h * dims, dims);
  }
}

template <class E, int H>
inline void attend_heads(const AttentionArgs& a, int64_t head) {
  float* scores = a.scratch;
  float* partial = scores + kAttentionHeadsMax * kSegmentTokens;
  float* out = partial + kAttentionHeadsMax * a.value_stride;
  Running run[H];
  for (int h = 0; h < H; ++h) run[h] = {-__builtin_inff(), 0};
  for (int64_t i = 0; i < H * a.value_stride; i += 16) store(out + i, zero());
  for (int64_t s = a.first / kSegmentTokens; s * kSegmentTokens <= a.last; ++s) {
    attend_segment<E, H>(a, head, s, scores, partial, out, run);
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
