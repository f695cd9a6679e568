// How sure a measured figure is, by resampling what it was measured on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "tasks/score.h"

namespace brisk {

// A figure and its 95 % confidence interval, where there is enough to tell one from.
struct Estimate {
  double value = 0;
  std::optional<tasks::Interval> interval;
};

// sum(numerators) / sum(denominators), and the percentile interval of that ratio over 1,000 samples
// with replacement of the units (numerators[i], denominators[i]): windows, not tokens, because
// what follows each other in a text is not independent. Fewer than two units: no interval. The
// same seed and number of units give the same samples, so that figures of one text can be compared.
// Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 6 and 13.
// REQUIRES: equally many of both, at least one; the denominators are positive.
Estimate bootstrap_ratio(std::span<const double> numerators, std::span<const double> denominators,
                         uint64_t seed);

}  // namespace brisk
