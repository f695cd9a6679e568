// Percentiles of what was measured.
#pragma once

#include <span>

namespace brisk {

// The value below which `fraction` of them lie, linear between neighbours (numpy's default).
// REQUIRES: `sorted` ascends and is not empty; fraction in [0, 1].
double percentile(std::span<const double> sorted, double fraction);

}  // namespace brisk
