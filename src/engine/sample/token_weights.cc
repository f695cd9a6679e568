#include "engine/sample/token_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"

namespace brisk {
namespace {

constexpr auto kBlock = static_cast<size_t>(kLogitBlock);
constexpr size_t kLevels = 1024;
constexpr size_t kSortedMax = 64;  // so few are sorted at once
constexpr int kPassesMax = 4;      // beyond them a level is sorted however large it is
constexpr int64_t kFewBlocks = 128;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Of each block, looked at to guess where a cut will be; the places move from block to block.
constexpr size_t kSampled = 8;
constexpr size_t kSampleStep = 5 * kSampled;
// Of the mass: how far a cut may be from where the sample has it. After a first miss the sample's
// error is known, and the second try hits mostly.
constexpr double kSampleErrors[] = {0.003, 0.004, 0.015, 0.06};
constexpr size_t kHeavy = 256;  // so many of the heaviest tokens are no matter of chance

float next_above(float x) { return std::nextafter(x, kInfinity); }

double sum_of(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum;
}

size_t block_count(std::span<const float> logits, size_t block) {
  return std::min(kBlock, logits.size() - block * kBlock);
}

}  // namespace

ScannedLogits scan(const KernelTable& kernels, std::span<const float> logits,
                   std::vector<float>* maxima) {
  maxima->resize((logits.size() + kBlock - 1) / kBlock);
  const LogitScan found =
      kernels.vocabulary.scan(logits.data(), std::ssize(logits), maxima->data());
  return {
      .logits = logits, .maxima = *maxima, .highest = found.highest, .is_broken = found.is_broken};
}

int32_t most_probable(const ScannedLogits& row) {
  const auto block = std::ranges::find(row.maxima, row.highest) - row.maxima.begin();
  const auto from = row.logits.begin() + block * kLogitBlock;
  return static_cast<int32_t>(std::find(from, row.logits.end(), row.highest) - row.logits.begin());
}

double log_total(const KernelTable& kernels, const ScannedLogits& row) {
  double total = 0;
  std::array<float, kBlock> weights;
  for (size_t block = 0; block < row.maxima.size(); ++block) {
    total +=
        kernels.vocabulary.weigh({.logits = row.logits.data() + block * kBlock,
                                  .count = static_cast<int64_t>(block_count(row.logits, block)),
                                  .highest = row.highest,
                                  .scale = 1,
                                  .limit = -kInfinity,
                                  .minimum = 0,
                                  .weights = weights.data()});
  }
  return std::log(total);
}

std::span<int32_t> at_least(const KernelTable& kernels, const ScannedLogits& row, float limit,
                            WeightScratch* scratch) {
  auto& ids = scratch->candidates;
  ids.resize(row.logits.size() + 16);
  int64_t found = 0;
  for (size_t block = 0; block < row.maxima.size(); ++block) {
    if (row.maxima[block] < limit) continue;
    const size_t first = block * kBlock;
    found += kernels.vocabulary.collect(row.logits.data() + first,
                                        static_cast<int64_t>(block_count(row.logits, block)), limit,
                                        static_cast<int32_t>(first), ids.data() + found);
  }
  return std::span(ids).first(static_cast<size_t>(found));
}

std::span<int32_t> heaviest(const KernelTable& kernels, const ScannedLogits& row, size_t count,
                            WeightScratch* scratch) {
  if (count > row.maxima.size()) return at_least(kernels, row, -kInfinity, scratch);
  // Each of the `count` blocks with the highest maxima has one token at least that is no lighter.
  auto& maxima = scratch->maxima;
  maxima.assign(row.maxima.begin(), row.maxima.end());
  const auto last = maxima.begin() + static_cast<ptrdiff_t>(count) - 1;
  std::ranges::nth_element(maxima, last, std::ranges::greater{});
  return at_least(kernels, row, *last, scratch);
}

void WeightScratch::reserve(size_t vocabulary) {
  const size_t blocks = vocabulary / kLogitBlock + 1;
  weights.reserve(vocabulary);
  maxima.reserve(blocks);
  sums.reserve(std::max(blocks, kLevels));
  candidates.reserve(vocabulary + 16);
}

TokenWeights::TokenWeights(const KernelTable& kernels, const ScannedLogits& row, double temperature,
                           WeightScratch* scratch)
    : kernels_(kernels),
      row_(row),
      // Both ends keep the product of a scale with 0 and with infinity what it should be.
      scale_(static_cast<float>(std::clamp(1 / temperature, 1e-30, 1e30))),
      scratch_(*scratch),
      limit_(-kInfinity),
      live_limit_(-kInfinity) {
  BRISK_CHECK(temperature > 0);
  scratch_.weights.resize(row_.logits.size());
  scratch_.candidates.resize(row_.logits.size() + 16);
  scratch_.sums.reserve(std::max(row_.maxima.size(), kLevels));
}

void TokenWeights::cut_below(int32_t token) {
  limit_token_ = token;
  limit_ = row_.logits[static_cast<size_t>(token)];
  live_limit_ = std::max(live_limit_, limit_);
}

// A logit that is below those of all tokens of this weight or more.
float TokenWeights::logit_below(double weight) const {
  // The margin is beyond all rounding; where the scale is so large or small that it might not be,
  // there is no limit.
  if (!(weight > 0) || !(scale_ > 1e-6f && scale_ < 1e6f)) return -kInfinity;
  const double units = (std::log(weight) - 1e-3) / static_cast<double>(scale_);
  const double logit = static_cast<double>(row_.highest) + units;
  const double rounding = std::abs(static_cast<double>(row_.highest)) * 1e-6;
  if (logit - rounding < -1e30) return -kInfinity;
  return static_cast<float>(logit - rounding);
}

// One block's weights, into the scratch, 0 for tokens that are not kept. Gives their sum.
double TokenWeights::weigh(size_t block) {
  const size_t first = block * kBlock, count = block_count(row_.logits, block);
  float* weights = scratch_.weights.data() + first;
  if (is_explicit_) return sum_of({weights, count});
  const auto weigh_part = [&](size_t from, size_t to, float limit) {
    if (from == to) return 0.0;
    return kernels_.vocabulary.weigh({.logits = row_.logits.data() + first + from,
                                      .count = static_cast<int64_t>(to - from),
                                      .highest = row_.highest,
                                      .scale = scale_,
                                      .limit = limit,
                                      .minimum = minimum_,
                                      .weights = weights + from});
  };
  // Of tokens as heavy as the last one that is kept, those behind it are not.
  const auto behind = static_cast<size_t>(limit_token_) + 1;
  const size_t cut = std::clamp(behind, first, first + count) - first;
  return weigh_part(0, cut, limit_) + weigh_part(cut, count, next_above(limit_));
}

double TokenWeights::weigh_all() {
  is_weighed_ = true;
  double total = 0;
  for (size_t i = 0; i < row_.maxima.size(); ++i) {
    if (is_live(i)) total += weigh(i);
  }
  return total;
}

// What weigh() gives, from weights that were computed before the last cut where there are any.
double TokenWeights::kept_mass(size_t block) {
  const size_t first = block * kBlock;
  const size_t cut_block = static_cast<size_t>(limit_token_) / kBlock;
  if (!is_weighed_ || is_explicit_ || minimum_ > 0 || block == cut_block) return weigh(block);
  return kernels_.vocabulary
      .split({.logits = row_.logits.data() + first,
              .weights = scratch_.weights.data() + first,
              .count = static_cast<int64_t>(block_count(row_.logits, block)),
              .high = block < cut_block ? limit_ : next_above(limit_),
              .low = kInfinity,
              .first = 0,
              .ids = scratch_.candidates.data()})
      .mass;
}

// Of `candidates`, the one with which the target is reached when they are taken in descending order
// of their keys, lower ids first among equal ones; the last one where it is not. Levels are small
// intervals of keys: only one has to be sorted. REQUIRES: there is one; start < target.
template <class Key, class Weight>
int32_t TokenWeights::reach(std::span<int32_t> candidates, Mass mass, Key key, Weight weight) {
  auto& sums = scratch_.sums;
  for (int pass = 0; pass < kPassesMax && candidates.size() > kSortedMax; ++pass) {
    const auto [low, high] = std::ranges::minmax_element(candidates, {}, key);
    const double top = static_cast<double>(key(*high)),
                 range = top - static_cast<double>(key(*low));
    if (!(range > 0)) break;
    const double levels_per_unit = static_cast<double>(kLevels) / range;
    const auto level_of = [&](int32_t token) {
      const double level = (top - static_cast<double>(key(token))) * levels_per_unit;
      return std::min(static_cast<size_t>(level), kLevels - 1);
    };
    sums.assign(kLevels, 0);
    for (const int32_t token : candidates) sums[level_of(token)] += weight(token);
    size_t level = 0;
    while (level + 1 < kLevels && mass.start + sums[level] < mass.target) {
      mass.start += sums[level++];
    }
    size_t kept = 0;
    for (const int32_t token : candidates) {
      if (level_of(token) == level) candidates[kept++] = token;
    }
    candidates = candidates.first(kept);
  }
  std::ranges::sort(candidates, [&](int32_t a, int32_t b) {
    const float key_a = key(a), key_b = key(b);
    return key_a > key_b || (key_a == key_b && a < b);
  });
  size_t last = 0;
  for (; last + 1 < candidates.size(); ++last) {
    mass.start += weight(candidates[last]);
    if (mass.start >= mass.target) break;
  }
  return candidates[last];
}

void TokenWeights::keep_heaviest(int64_t count) {
  if (count >= std::ssize(row_.logits)) return;
  const std::span<int32_t> candidates =
      heaviest(kernels_, row_, static_cast<size_t>(count), &scratch_);
  cut_below(reach(
      candidates, {.start = 0, .target = static_cast<double>(count)},
      [this](int32_t token) { return logit_of(token); }, [](int32_t) { return 1.0; }));
}

void TokenWeights::keep_mass(double fraction) {
  const double total = weigh_all();
  Cut cut = find_likely(fraction, total);
  if (cut.candidates.empty()) cut = {.candidates = find_possible(), .mass_above = 0};
  cut_below(reach(
      cut.candidates, {.start = cut.mass_above, .target = fraction * total},
      [this](int32_t token) { return logit_of(token); },
      [this](int32_t token) { return weight_of(token); }));
}

// Among which tokens the cut is. No candidates: it could not be told.
TokenWeights::Cut TokenWeights::find_likely(double fraction, double total) {
  // Even all together, tokens that are lighter do not make up what need not be reached.
  const double lightest = (1 - fraction) * total / static_cast<double>(row_.logits.size());
  const float floor = std::max(live_limit_, logit_below(lightest));
  const auto blocks = std::ranges::count_if(row_.maxima, [&](float max) { return max >= floor; });
  if (blocks > kFewBlocks) {
    if (!look_at_sample(floor)) return {};
    double sampled_fraction = fraction;
    for (const double error : kSampleErrors) {
      const Interval guessed =
          guess({.fraction = sampled_fraction, .error = error, .floor = floor});
      const Cut cut = find_around(guessed, fraction * total);
      if (!cut.candidates.empty()) return cut;
      sampled_fraction = fraction + (sampled_fraction - error) - cut.mass_above / total;
    }
    return {};
  }
  std::span<int32_t> candidates = at_least(kernels_, row_, floor, &scratch_);
  return {.candidates = without_weightless(candidates), .mass_above = 0};
}

// The masses of kLevels levels between the highest logit and the floor, into the sums: of the
// heaviest tokens, and of a sample of the others. False: there is no telling levels apart.
bool TokenWeights::look_at_sample(float floor) {
  const float range = row_.highest - floor;
  if (!(range > 0 && range < kInfinity)) return false;
  const float levels_per_unit = static_cast<float>(kLevels) / range;
  auto& sums = scratch_.sums;
  sums.assign(kLevels, 0);
  const auto add = [&](float logit, double weight) {
    const float level = (row_.highest - logit) * levels_per_unit;
    if (level < static_cast<float>(kLevels)) sums[static_cast<size_t>(level)] += weight;
  };
  float heavy = row_.highest;  // and all above
  for (const int32_t token :
       heaviest(kernels_, row_, std::min(kHeavy, row_.maxima.size()), &scratch_)) {
    heavy = std::min(heavy, logit_of(token));
    if (logit_of(token) >= live_limit_) add(logit_of(token), weight_of(token));
  }
  constexpr double kStandsFor = kBlock / kSampled;
  for (size_t block = 0; block < row_.maxima.size(); ++block) {
    const size_t first = block * kBlock + block * kSampleStep % kBlock;
    const size_t end = std::min(first + kSampled, row_.logits.size());
    for (size_t i = first; i < end; ++i) {
      const float logit = row_.logits[i];
      if (logit >= heavy || logit < floor) continue;
      add(logit, static_cast<double>(scratch_.weights[i]) * kStandsFor);
    }
  }
  return true;
}

// Where the cut will be, from the sums of look_at_sample.
TokenWeights::Interval TokenWeights::guess(const Guess& wanted) const {
  const float levels_per_unit = static_cast<float>(kLevels) / (row_.highest - wanted.floor);
  const auto& sums = scratch_.sums;
  double total = 0;
  for (const double sum : sums) total += sum;
  const auto level_at = [&](double part) {
    double mass = 0;
    size_t level = 0;
    while (level < kLevels && mass + sums[level] < part * total) mass += sums[level++];
    return static_cast<float>(level);
  };
  Interval guessed = {.low = wanted.floor, .high = kInfinity};
  guessed.high = row_.highest - level_at(wanted.fraction - wanted.error) / levels_per_unit;
  const float low = level_at(wanted.fraction + wanted.error) + 1;
  if (low < static_cast<float>(kLevels)) guessed.low = row_.highest - low / levels_per_unit;
  return guessed;
}

// No candidates: the cut is elsewhere.
TokenWeights::Cut TokenWeights::find_around(const Interval& interval, double target) {
  Cut cut;
  int64_t found = 0;
  for (size_t i = 0; i < row_.maxima.size(); ++i) {
    if (!is_live(i) || row_.maxima[i] < interval.low) continue;
    const size_t first = i * kBlock;
    const Split split =
        kernels_.vocabulary.split({.logits = row_.logits.data() + first,
                                   .weights = scratch_.weights.data() + first,
                                   .count = static_cast<int64_t>(block_count(row_.logits, i)),
                                   .high = interval.high,
                                   .low = interval.low,
                                   .first = static_cast<int32_t>(first),
                                   .ids = scratch_.candidates.data() + found});
    cut.mass_above += split.mass;
    found += split.ids;
  }
  const auto candidates = std::span(scratch_.candidates).first(static_cast<size_t>(found));
  double mass = cut.mass_above;
  if (mass >= target) return cut;
  for (const int32_t token : candidates) mass += weight_of(token);
  if (mass >= target) cut.candidates = without_weightless(candidates);
  return cut;
}

std::span<int32_t> TokenWeights::find_possible() {
  return without_weightless(at_least(kernels_, row_, live_limit_, &scratch_));
}

std::span<int32_t> TokenWeights::without_weightless(std::span<int32_t> tokens) const {
  const auto rest =
      std::ranges::remove_if(tokens, [this](int32_t token) { return !(weight_of(token) > 0); });
  return {tokens.begin(), rest.begin()};
}

void TokenWeights::keep_above(double minimum) {
  minimum_ = static_cast<float>(minimum);  // the heaviest weight is 1
  live_limit_ = std::max(live_limit_, logit_below(minimum));
}

void TokenWeights::keep_typical(double fraction) {
  const double total = weigh_all();
  const std::span<int32_t> candidates = find_possible();
  const auto exponent = [this](int32_t token) { return (logit_of(token) - row_.highest) * scale_; };
  double exponents = 0;
  for (const int32_t token : candidates) {
    exponents += weight_of(token) * static_cast<double>(exponent(token));
  }
  // -ln p - H = (ln total - exponent) - (ln total - mean): the distance from the mean.
  const auto mean = static_cast<float>(exponents / total);
  const auto nearness = [&](int32_t token) { return -std::abs(exponent(token) - mean); };
  const int32_t last = reach(candidates, {.start = 0, .target = fraction * total}, nearness,
                             [this](int32_t token) { return weight_of(token); });
  const float least = nearness(last);
  for (const int32_t token : find_possible()) {
    const float near = nearness(token);
    const bool stays = near > least || (near == least && token <= last);
    if (!stays) scratch_.weights[static_cast<size_t>(token)] = 0;
  }
  is_explicit_ = true;
}

int32_t TokenWeights::draw(double u) {
  auto& sums = scratch_.sums;
  sums.clear();
  double total = 0;
  for (size_t i = 0; i < row_.maxima.size(); ++i) {
    sums.push_back(is_live(i) ? kept_mass(i) : 0);
    total += sums.back();
  }
  const double target = u * total;
  double mass = 0;
  size_t drawn_block = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] == 0) continue;
    if (drawn_block != i && sums[drawn_block] > 0) mass += sums[drawn_block];
    drawn_block = i;
    if (mass + sums[i] > target) break;
  }

  weigh(drawn_block);
  // Inside the block sums round in another order: the last possible token may have to do.
  size_t drawn = drawn_block * kBlock;
  const size_t end = std::min(drawn + kBlock, row_.logits.size());
  for (size_t i = drawn; i < end && mass <= target; ++i) {
    mass += static_cast<double>(scratch_.weights[i]);
    if (scratch_.weights[i] > 0) drawn = i;
  }
  return static_cast<int32_t>(drawn);
}

}  // namespace brisk
