#include "plan/load/arrivals.h"

#include <cmath>

#include "base/check.h"
#include "base/rng.h"

namespace brisk {
namespace {

// Gamma with shape >= 1 and scale 1. Marsaglia, Tsang: "A simple method for generating gamma
// variables" (2000). Every try is accepted with a probability above 0.95.
double draw_gamma_from_one(Rng& rng, double shape) {
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  constexpr int kTriesMax = 1000;
  for (int i = 0; i < kTriesMax; ++i) {
    const double x = rng.next_gaussian();
    const double root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    const double u = 1 - rng.next_uniform();  // (0, 1]
    if (std::log(u) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
  return d;
}

double draw_gamma(Rng& rng, double shape) {
  if (shape >= 1) return draw_gamma_from_one(rng, shape);
  const double u = 1 - rng.next_uniform();
  return draw_gamma_from_one(rng, shape + 1) * std::pow(u, 1 / shape);
}

}  // namespace

std::vector<double> draw_arrivals(const ArrivalOptions& options) {
  BRISK_CHECK(options.rate > 0);
  BRISK_CHECK(options.burstiness > 0);
  constexpr uint64_t kArrivalStream = 0xA221;
  Rng rng(options.seed, kArrivalStream);
  const double gap_scale_s = 1 / (options.rate * options.burstiness);
  std::vector<double> arrivals(static_cast<size_t>(options.count));
  double at_s = 0;
  for (double& arrival : arrivals) {
    at_s += draw_gamma(rng, options.burstiness) * gap_scale_s;
    arrival = at_s;
  }
  return arrivals;
}

}  // namespace brisk
