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

// x = n ln 2 + r with |r| <= ln(2)/2, e^x = 2^n e^r, e^r by its Taylor series to r^7. x <= 0.
inline Vec weight_of(Vec x) {
  const Vec lowest = splat(-87);       // 2^-126 is e^-87.3
  const Vec round = splat(0x1.8p23f);  // adding it leaves no bits below one
  const Vec possible = zero_below(x, x, lowest);
  const Vec n = (possible * splat(0x1.715476p0f) + round) - round;
  const Vec r = (possible - n * splat(0x1.62ep-1f)) - n * splat(0x1.0bfbe8p-15f);
  Vec series = splat(1.0f / 5040);
  series = series * r + splat(1.0f / 720);
  series = series * r + splat(1.0f / 120);
  series = series * r + splat(1.0f / 24);
  series = series * r + splat(1.0f / 6);
  series = series * r + splat(0.5f);
  series = series * r + splat(1.0f);
  series = series * r + splat(1.0f);
  return zero_below(series * power_of_two(n), x, lowest);
}

inline double sum_in_order(Wide sums) {
  double lanes[16];
  store_wide(lanes, sums);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

double weigh_logits(const WeighArgs& a) {
  const Vec highest = splat(a.highest), scale = splat(a.scale);
  const Vec limit = splat(a.limit), minimum = splat(a.minimum);
  const auto weigh = [&](Vec logits) {
    const Vec weights = zero_below(weight_of((logits - highest) * scale), logits, limit);
    return zero_below(weights, weights, minimum);
  };
  Wide sums = wide_zero();
  int64_t i = 0;
  for (; i + 16 <= a.count; i += 16) {
    const Vec weights = weigh(load(a.logits + i));
    store(a.weights + i, weights);
    sums = add_wide(sums, weights);
  }
  double sum = sum_in_order(sums);
  if (i < a.count) store_first(a.weights + i, weigh(load_first(a.logits + i, a.count - i)), a.count - i);
  for (; i < a.count; ++i) sum += static_cast<double>(a.weights[i]);
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
