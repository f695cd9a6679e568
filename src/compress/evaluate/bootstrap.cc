#include "compress/evaluate/bootstrap.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/percentile.h"
#include "base/rng.h"

namespace brisk {
namespace {

constexpr int kSamples = 1000;
// More units are joined to so many, neighbours with neighbours: time stays bounded.
constexpr size_t kUnitsMax = 4096;

std::vector<double> joined(std::span<const double> units) {
  const size_t count = std::min(units.size(), kUnitsMax);
  std::vector<double> sums(count);
  for (size_t i = 0; i < units.size(); ++i) sums[i * count / units.size()] += units[i];
  return sums;
}

}  // namespace

Estimate bootstrap_ratio(std::span<const double> numerators, std::span<const double> denominators,
                         uint64_t seed) {
  const std::vector<double> above = joined(numerators), below = joined(denominators);
  const auto sum = [](const std::vector<double>& all) {
    return std::accumulate(all.begin(), all.end(), 0.0);
  };
  Estimate estimate = {.value = sum(above) / sum(below), .interval = std::nullopt};
  if (numerators.size() < 2) return estimate;
  Rng rng(seed);
  std::vector<double> ratios;
  for (int sample = 0; sample < kSamples; ++sample) {
    double numerator = 0, denominator = 0;
    for (size_t i = 0; i < above.size(); ++i) {
      const auto drawn = static_cast<size_t>(rng.next_below(above.size()));
      numerator += above[drawn];
      denominator += below[drawn];
    }
    ratios.push_back(numerator / denominator);
  }
  std::sort(ratios.begin(), ratios.end());
  const std::span<const double> sorted = ratios;
  estimate.interval = {percentile(sorted, 0.025), percentile(sorted, 0.975)};
  return estimate;
}

}  // namespace brisk
