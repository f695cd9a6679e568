#include "engine/sample/token_weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace brisk {
namespace {

constexpr size_t kLanes = 16;   // independent running values, so that loops can be vectors
constexpr size_t kBlock = 256;  // weights to a partial sum
constexpr size_t kLevels = 4096;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Beyond so many units of temperature below the highest logit, a weight is below 2^-69 and levels
// need not tell tokens apart.
constexpr float kLeveledUnits = 48;

// x = n ln 2 + r with |r| <= ln(2)/2, e^x = 2^n e^r, e^r by its Taylor series to r^7.
inline float exp_nonpositive(float x) {
  constexpr float kLowest = -87;       // 2^-126 is e^-87.3
  constexpr float kRound = 0x1.8p23f;  // adding it leaves no bits below one
  constexpr float kLog2e = 0x1.715476p0f;
  constexpr float kLn2High = 0x1.62ep-1f, kLn2Low = 0x1.0bfbe8p-15f;  // n * high is exact
  // A mask, not a branch: the loop around this becomes one of vectors.
  const int32_t possible = x >= kLowest ? -1 : 0;
  x = std::bit_cast<float>(std::bit_cast<int32_t>(x) & possible);
  const float n = (x * kLog2e + kRound) - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float series = 1.0f / 5040;
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  const float power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return std::bit_cast<float>(std::bit_cast<int32_t>(series * power) & possible);
}

double sum_of(std::span<const float> values) {
  std::array<double, kLanes> lanes{};
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(values[i + j]);
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (; i < values.size(); ++i) sum += static_cast<double>(values[i]);
  return sum;
}

}  // namespace

LogitRange range_of(std::span<const float> logits) {
  std::array<float, kLanes> high, low;
  std::array<int32_t, kLanes> broken{};
  high.fill(-kInfinity);
  low.fill(kInfinity);
  const auto look = [&](float x, size_t lane) {
    broken[lane] |= x < kInfinity ? 0 : 1;  // NaN is not less than anything
    high[lane] = x > high[lane] ? x : high[lane];
    const float possible = x > -kInfinity ? x : kInfinity;
    low[lane] = possible < low[lane] ? possible : low[lane];
  };
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) look(logits[i + j], j);
  }
  for (; i < logits.size(); ++i) look(logits[i], 0);
  return {.highest = *std::ranges::max_element(high),
          .lowest = *std::ranges::min_element(low),
          .is_broken = std::ranges::count(broken, 0) != static_cast<ptrdiff_t>(kLanes)};
}

int32_t most_probable(std::span<const float> logits) {
  const float highest = range_of(logits).highest;
  return static_cast<int32_t>(std::ranges::find(logits, highest) - logits.begin());
}

void exp_of_differences(std::span<const float> logits, float highest, float scale,
                        std::span<float> weights) {
  const float* in = logits.data();
  float* out = weights.data();
  for (size_t i = 0; i < logits.size(); ++i) out[i] = exp_nonpositive((in[i] - highest) * scale);
}

double log_total(std::span<const float> logits, float highest) {
  double total = 0;
  std::array<float, kBlock> weights;
  for (size_t i = 0; i < logits.size(); i += kBlock) {
    const auto block = logits.subspan(i, std::min(kBlock, logits.size() - i));
    exp_of_differences(block, highest, 1, weights);
    total += sum_of(std::span(weights).first(block.size()));
  }
  return std::log(total);
}

TokenWeights::TokenWeights(std::span<const float> logits, const LogitRange& range,
                           double temperature, WeightScratch* scratch)
    : logits_(logits),
      highest_(range.highest),
      levels_per_unit_(static_cast<float>(
          static_cast<double>(kLevels) /
          std::clamp(static_cast<double>(range.highest) - static_cast<double>(range.lowest), 1e-20,
                     std::max(1e-20, kLeveledUnits * temperature)))),
      // Both ends keep the product of a scale with 0 and with infinity what it should be.
      scale_(static_cast<float>(std::clamp(1 / temperature, 1e-30, 1e30))),
      scratch_(*scratch) {
  BRISK_CHECK(temperature > 0);
  scratch_.weights.resize(logits.size());
  scratch_.candidates.reserve(logits.size());
  weights_ = scratch_.weights;
  exp_of_differences(logits, highest_, scale_, weights_);
}

size_t TokenWeights::level_of(float logit) const {
  const float level = (highest_ - logit) * levels_per_unit_;
  return static_cast<size_t>(std::min(level, static_cast<float>(kLevels - 1)));
}

bool TokenWeights::is_heavier(int32_t a, int32_t b) const {
  const float logit_a = logits_[static_cast<size_t>(a)], logit_b = logits_[static_cast<size_t>(b)];
  return logit_a > logit_b || (logit_a == logit_b && a < b);
}

float TokenWeights::exponent_of(int32_t token) const {
  return (logits_[static_cast<size_t>(token)] - highest_) * scale_;
}

void TokenWeights::collect_level(size_t level) {
  auto& candidates = scratch_.candidates;
  candidates.clear();
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (weights_[i] > 0 && level_of(logits_[i]) == level) {
      candidates.push_back(static_cast<int32_t>(i));
    }
  }
}

void TokenWeights::cut_below(int32_t token) {
  const float limit = logits_[static_cast<size_t>(token)];
  for (size_t i = 0; i < logits_.size(); ++i) {
    const bool stays =
        logits_[i] > limit || (logits_[i] == limit && static_cast<int32_t>(i) <= token);
    weights_[i] = stays ? weights_[i] : 0.0f;
  }
}

void TokenWeights::keep_heaviest(int64_t count) {
  auto& counts = scratch_.counts;
  counts.assign(kLevels, 0);
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (weights_[i] > 0) ++counts[level_of(logits_[i])];
  }
  int64_t heavier = 0;  // tokens in the levels above
  size_t level = 0;
  while (level < kLevels && heavier + counts[level] < count) heavier += counts[level++];
  if (level == kLevels) return;  // there are no more than `count`

  collect_level(level);
  auto& candidates = scratch_.candidates;
  const auto last = candidates.begin() + (count - heavier - 1);
  std::nth_element(candidates.begin(), last, candidates.end(),
                   [this](int32_t a, int32_t b) { return is_heavier(a, b); });
  cut_below(*last);
}

void TokenWeights::keep_mass(double fraction) {
  auto& sums = scratch_.sums;
  sums.assign(kLevels, 0);
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (weights_[i] > 0) sums[level_of(logits_[i])] += static_cast<double>(weights_[i]);
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  const double target = fraction * total;

  double mass = 0;  // of the levels above
  size_t level = 0;
  while (level < kLevels && mass + sums[level] < target) mass += sums[level++];
  if (level == kLevels) return;  // rounding: all of them are just enough

  collect_level(level);
  auto& candidates = scratch_.candidates;
  std::ranges::sort(candidates, [this](int32_t a, int32_t b) { return is_heavier(a, b); });
  size_t last = 0;
  for (; last + 1 < candidates.size(); ++last) {
    mass += static_cast<double>(weights_[static_cast<size_t>(candidates[last])]);
    if (mass >= target) break;
  }
  cut_below(candidates[last]);
}

void TokenWeights::keep_above(double minimum) {
  const float limit = static_cast<float>(minimum);  // the heaviest weight is 1
  for (float& weight : weights_) weight = weight >= limit ? weight : 0.0f;
}

void TokenWeights::keep_typical(double fraction) {
  auto& candidates = scratch_.candidates;
  candidates.clear();
  double total = 0, exponents = 0;
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (!(weights_[i] > 0)) continue;
    candidates.push_back(static_cast<int32_t>(i));
    const auto weight = static_cast<double>(weights_[i]);
    total += weight;
    exponents += weight * static_cast<double>(exponent_of(candidates.back()));
  }
  // -ln p - H = ln total - exponent - (ln total - mean): the distance from the mean.
  const auto mean = static_cast<float>(exponents / total);
  const auto distance = [&](int32_t token) { return std::abs(exponent_of(token) - mean); };
  std::ranges::sort(candidates, [&](int32_t a, int32_t b) {
    const float distance_a = distance(a), distance_b = distance(b);
    return distance_a < distance_b || (distance_a == distance_b && a < b);
  });
  double mass = 0;
  for (const int32_t token : candidates) {
    float& weight = weights_[static_cast<size_t>(token)];
    if (mass >= fraction * total) {
      weight = 0;
    } else {
      mass += static_cast<double>(weight);
    }
  }
}

int32_t TokenWeights::draw(double u) const {
  auto& sums = scratch_.sums;
  sums.clear();
  double total = 0;
  for (size_t i = 0; i < weights_.size(); i += kBlock) {
    sums.push_back(sum_of(weights_.subspan(i, std::min(kBlock, weights_.size() - i))));
    total += sums.back();
  }
  const double target = u * total;
  double mass = 0;
  size_t block = 0;
  for (; block + 1 < sums.size() && mass + sums[block] <= target; ++block) mass += sums[block];

  // Inside the block sums round in another order: the last possible token may have to do.
  size_t drawn = block * kBlock;
  const size_t end = std::min(drawn + kBlock, weights_.size());
  for (size_t i = drawn; i < end && mass <= target; ++i) {
    mass += static_cast<double>(weights_[i]);
    if (weights_[i] > 0) drawn = i;
  }
  return static_cast<int32_t>(drawn);
}

}  // namespace brisk
