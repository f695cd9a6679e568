#include "base/percentile.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/check.h"

namespace brisk {

double percentile(std::span<const double> sorted, double fraction) {
  BRISK_CHECK(!sorted.empty());
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

}  // namespace brisk
