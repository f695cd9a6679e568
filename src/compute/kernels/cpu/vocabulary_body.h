// Passes over logits, written once over Vec. Include after a vec_*.h.
#pragma once

namespace brisk {
namespace {

constexpr float kInfiniteLogit = __builtin_inff();

struct BlockScan {
  float highest;
  bool is_broken;
};

inline BlockScan scan_block(const float* x, int64_t count) {
  Vec high[4];
  for (Vec& each : high) each = splat(-kInfiniteLogit);
  const Vec infinite = splat(kInfiniteLogit);
  uint32_t numbers = 0xFFFF;  // lanes that have seen nothing else: NaN is not below anything
  int64_t i = 0;
  for (; i + 64 <= count; i += 64) {
    for (int k = 0; k < 4; ++k) {
      const Vec each = load(x + i + 16 * k);
      numbers &= lanes_below(each, infinite);
      high[k] = max(each, high[k]);
    }
  }
  for (; i + 16 <= count; i += 16) {
    const Vec each = load(x + i);
    numbers &= lanes_below(each, infinite);
    high[0] = max(each, high[0]);
  }
  BlockScan block = {largest(max(max(high[0], high[1]), max(high[2], high[3]))), numbers != 0xFFFF};
  for (; i < count; ++i) {
    block.is_broken |= !(x[i] < kInfiniteLogit);
    block.highest = x[i] > block.highest ? x[i] : block.highest;
  }
  return block;
}

LogitScan scan_logits(const float* logits, int64_t count, float* maxima) {
  LogitScan scan = {-kInfiniteLogit, false};
  for (int64_t i = 0, block = 0; i < count; i += kLogitBlock, ++block) {
    const int64_t here = count - i < kLogitBlock ? count - i : kLogitBlock;
    const BlockScan one = scan_block(logits + i, here);
    maxima[block] = one.highest;
    scan.highest = one.highest > scan.highest ? one.highest : scan.highest;
    scan.is_broken |= one.is_broken;
  }
  return scan;
}

// Vectors that are computed side by side: one alone would wait for itself at every operation.
constexpr int kWeighed = kIsa == Isa::kAvx512 ? 4 : 2;

// x = n ln 2 + r with |r| <= ln(2)/2, e^x = 2^n e^r, e^r by its Taylor series to r^7. x <= 0.
template <int kCount>
inline void weights_of(const Vec (&x)[kCount], Vec (&weights)[kCount]) {
  const Vec lowest = splat(-87);       // 2^-126 is e^-87.3
  const Vec round = splat(0x1.8p23f);  // adding it leaves no bits below one
  constexpr float kSeries[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  Vec n[kCount], r[kCount];
  for (int k = 0; k < kCount; ++k) {
    const Vec possible = zero_below(x[k], x[k], lowest);
    n[k] = (possible * splat(0x1.715476p0f) + round) - round;
    r[k] = (possible - n[k] * splat(0x1.62ep-1f)) - n[k] * splat(0x1.0bfbe8p-15f);
    weights[k] = splat(1.0f / 5040);
  }
  for (const float term : kSeries) {
    for (int k = 0; k < kCount; ++k) weights[k] = weights[k] * r[k] + splat(term);
  }
  for (int k = 0; k < kCount; ++k) {
    weights[k] = zero_below(weights[k] * power_of_two(n[k]), x[k], lowest);
  }
}

inline double sum_in_order(Wide sums) {
  double lanes[16];
  store_wide(lanes, sums);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

template <int kCount>
inline void weigh_at(const WeighArgs& a, int64_t i, Wide* sums) {
  Vec logits[kCount], x[kCount], weights[kCount];
  for (int k = 0; k < kCount; ++k) {
    logits[k] = load(a.logits + i + 16 * k);
    x[k] = (logits[k] - splat(a.highest)) * splat(a.scale);
  }
  weights_of(x, weights);
  for (int k = 0; k < kCount; ++k) {
    const Vec allowed = zero_below(weights[k], logits[k], splat(a.limit));
    weights[k] = zero_below(allowed, allowed, splat(a.minimum));
    store(a.weights + i + 16 * k, weights[k]);
    *sums = add_wide(*sums, weights[k]);
  }
}

double weigh_logits(const WeighArgs& args) {
  const WeighArgs a = args;  // the compiler sees that stores do not change it
  Wide sums = wide_zero();
  int64_t i = 0;
  for (; i + 16 * kWeighed <= a.count; i += 16 * kWeighed) weigh_at<kWeighed>(a, i, &sums);
  for (; i + 16 <= a.count; i += 16) weigh_at<1>(a, i, &sums);
  double sum = sum_in_order(sums);
  if (i == a.count) return sum;

  float logits[16] = {}, weights[16];
  for (int64_t k = 0; i + k < a.count; ++k) logits[k] = a.logits[i + k];
  WeighArgs rest = a;
  rest.logits = logits;
  rest.weights = weights;
  weigh_at<1>(rest, 0, &sums);
  for (int64_t k = 0; i < a.count; ++i, ++k) {
    a.weights[i] = weights[k];
    sum += static_cast<double>(weights[k]);
  }
  return sum;
}

Split split_logits(const SplitArgs& a) {
  const Vec high = splat(a.high), low = splat(a.low);
  Wide sums = wide_zero();
  Split split = {0, 0};
  int64_t i = 0;
  for (; i + 16 <= a.count; i += 16) {
    const Vec logits = load(a.logits + i);
    sums = add_wide(sums, zero_below(load(a.weights + i), logits, high));
    const uint32_t listed = lanes_below(logits, high) & ~lanes_below(logits, low);
    split.ids += put_lanes(a.ids + split.ids, listed, a.first + static_cast<int32_t>(i));
  }
  split.mass = sum_in_order(sums);
  for (; i < a.count; ++i) {
    if (a.logits[i] >= a.high) {
      split.mass += static_cast<double>(a.weights[i]);
    } else if (a.logits[i] >= a.low) {
      a.ids[split.ids++] = a.first + static_cast<int32_t>(i);
    }
  }
  return split;
}

int64_t collect_logits(const float* logits, int64_t count, float limit, int32_t first,
                       int32_t* ids) {
  const Vec low = splat(limit);
  int64_t found = 0, i = 0;
  for (; i + 16 <= count; i += 16) {
    const uint32_t listed = 0xFFFF & ~lanes_below(load(logits + i), low);
    found += put_lanes(ids + found, listed, first + static_cast<int32_t>(i));
  }
  for (; i < count; ++i) {
    if (logits[i] >= limit) ids[found++] = first + static_cast<int32_t>(i);
  }
  return found;
}

}  // namespace
}  // namespace brisk
