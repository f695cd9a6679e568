// What every way to attend has in common, written once over Vec: what a query sees of a segment,
// the softmax of a segment, and how partial results are merged. Include after math_body.h.
//
// A sequence's keys are walked in segments of kKvSegmentBlocks blocks, counted from position 0.
// Each segment gives a query a partial result (its maximum, its sum of exponentials, its weighted
// values) that depends on nothing outside it; partial results are merged in order of position. This
// is the FlashAttention recurrence (Dao et al. 2022) with a fixed partition, so the answer depends
// neither on how many queries ask, nor on who computes which segment.
#pragma once

namespace brisk {
namespace {

constexpr int64_t kSegmentTokens = kKvSegmentBlocks * kKvBlockTokens;

// Tokens [begin, end) of a segment; none where they are equal.
struct TokenRange {
  int64_t begin, end;
};
inline TokenRange overlap(TokenRange a, TokenRange b) {
  const int64_t begin = a.begin > b.begin ? a.begin : b.begin;
  const int64_t end = a.end < b.end ? a.end : b.end;
  return {begin, begin < end ? end : begin};
}
inline bool is_empty(TokenRange range) { return range.begin == range.end; }
inline bool holds(TokenRange range, int64_t t) { return t >= range.begin && t < range.end; }
inline TokenRange hull(TokenRange a, TokenRange b) {
  if (is_empty(a)) return b;
  if (is_empty(b)) return a;
  return {a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end};
}

inline TokenRange seen_by(const AttentionArgs& a, int64_t query, int64_t segment) {
  const int64_t position = a.position + query / a.heads;
  const int64_t first = a.window > 0 && position >= a.window ? position - a.window + 1 : 0;
  const int64_t base = segment * kSegmentTokens;
  return overlap({first - base, position + 1 - base}, {0, kSegmentTokens});
}

inline const float* query_at(const AttentionArgs& a, int64_t query) {
  return a.q + query / a.heads * a.q_stride + query % a.heads * a.head_dim;
}

// Scores of the tokens that are seen to exp(score - maximum); those beside them, in the same 16,
// become 0. Gives the maximum and the sum.
inline void segment_softmax(float* scores, TokenRange seen, float* maximum, float* total) {
  const int64_t first = seen.begin / 16 * 16, last = (seen.end + 15) / 16 * 16;
  for (int64_t t = first; t < seen.begin; ++t) scores[t] = -__builtin_inff();
  for (int64_t t = seen.end; t < last; ++t) scores[t] = -__builtin_inff();
  Vec tops = splat(-__builtin_inff());
  for (int64_t t = first; t < last; t += 16) tops = max(load(scores + t), tops);
  *maximum = largest(tops);
  const Vec top = splat(*maximum);
  Vec sums = zero();
  for (int64_t t = first; t < last; t += 16) {
    const Vec e = exp(load(scores + t) - top);
    store(scores + t, e);
    sums = sums + e;
  }
  *total = sum(sums);
}

inline float exp_scalar(float x) { return largest(exp(splat(x))); }

// A query's partial result of a segment, as attention_partial_floats() has it.
struct Partial {
  float* at;

  float& maximum() const { return at[0]; }
  float& total() const { return at[1]; }  // 0: it sees nothing of the segment
  float* values() const { return at + 16; }
};

// The running result of a query, merged segment by segment.
struct Running {
  float maximum = -__builtin_inff();
  float total = 0;
};

inline void merge(Running* run, float* out, Partial partial, int64_t dims) {
  if (partial.total() == 0) return;
  const float top = run->maximum > partial.maximum() ? run->maximum : partial.maximum();
  const float old_scale = exp_scalar(run->maximum - top);
  const float new_scale = exp_scalar(partial.maximum() - top);
  run->maximum = top;
  run->total = run->total * old_scale + partial.total() * new_scale;
  for (int64_t d = 0; d < dims; d += 16) {
    const Vec added = load(partial.values() + d) * splat(new_scale);
    store(out + d, fma(load(out + d), splat(old_scale), added));
  }
}

inline void clear(float* values, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) store(values + i, zero());
}

// A query's answer from its merged result.
inline void finish(const AttentionArgs& a, int64_t query, const Running& run, const float* merged) {
  const Vec inverse = splat(1.0f / run.total);
  float* y = a.out + query / a.heads * a.out_stride + query % a.heads * a.head_dim;
  each_16(a.head_dim,
          [&](int64_t d, int64_t n) { store_first(y + d, load(merged + d) * inverse, n); });
}

inline void merge_attention(const AttentionArgs& a) {
  const int64_t queries = a.rows * a.heads;
  for (int64_t query = 0; query < queries; ++query) {
    Running run;
    clear(a.scratch, a.value_stride);
    for (int64_t s = 0; s < a.segment_end - a.segment; ++s) {
      const int64_t index = s * queries + query;
      merge(&run, a.scratch, {a.partials + index * attention_partial_floats(a.value_stride)},
            a.value_stride);
    }
    finish(a, query, run, a.scratch);
  }
}

}  // namespace
}  // namespace brisk
