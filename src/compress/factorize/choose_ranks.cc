#include "compress/factorize/choose_ranks.h"

#include <algorithm>
#include <numeric>

namespace brisk {
namespace {

// A rank that a matrix may have, and what it loses by it.
struct Point {
  int64_t rank;
  int64_t parameters;
  double loss;
};

// From one point to the next of a matrix.
struct Step {
  size_t matrix;
  Point from, to;

  double gain() const {
    return (from.loss - to.loss) / static_cast<double>(to.parameters - from.parameters);
  }
};

// The largest component is mostly what all inputs have in common, which any rank keeps: losses are
// shares of what is beyond it, times the parameters that they spoil.
std::vector<Point> points_of(const Spectrum& spectrum) {
  const auto& energies = spectrum.energies;
  const double total = std::accumulate(energies.begin(), energies.end(), 0.0);
  const double beyond = total - energies.front();
  const double scale = beyond > 0 ? static_cast<double>(spectrum.values()) * total / beyond : 0;
  std::vector<Point> points;
  for (const int64_t rank : possible_ranks(spectrum.rows, spectrum.depth)) {
    const double loss = scale * (1 - kept_energy(spectrum, rank));
    points.push_back({rank, parameters(spectrum, rank), loss});
  }
  points.push_back({kDense, spectrum.values(), 0});
  return points;
}

// The steps between those points that no mixture of others beats (the lower convex hull): along
// them, each gains less for a parameter than the one before.
std::vector<Step> steps_of(std::span<const Point> points, size_t matrix) {
  std::vector<Step> steps;
  for (size_t i = 1; i < points.size(); ++i) {
    Step step = {matrix, points[i - 1], points[i]};
    while (!steps.empty() && steps.back().gain() <= step.gain()) {
      step.from = steps.back().from;
      steps.pop_back();
    }
    steps.push_back(step);
  }
  return steps;
}

}  // namespace

int64_t parameters(const Spectrum& spectrum, int64_t rank) {
  return rank == kDense ? spectrum.values() : rank * (spectrum.rows + spectrum.depth);
}

double kept_energy(const Spectrum& spectrum, int64_t rank) {
  const auto& energies = spectrum.energies;
  const double total = std::accumulate(energies.begin(), energies.end(), 0.0);
  if (rank == kDense || total <= 0) return 1;
  return std::accumulate(energies.begin(), energies.begin() + rank, 0.0) / total;
}

std::vector<int64_t> possible_ranks(int64_t rows, int64_t depth) {
  const int64_t below = (rows * depth - 1) / (rows + depth);  // the largest that is smaller
  int64_t unit = 32;
  while (unit > 1 && below < 2 * unit) unit /= 2;
  std::vector<int64_t> ranks;
  for (int64_t rank = unit; rank <= below; rank += unit) ranks.push_back(rank);
  return ranks;
}

int64_t rank_for_energy(const Spectrum& spectrum, double share) {
  for (const int64_t rank : possible_ranks(spectrum.rows, spectrum.depth)) {
    if (kept_energy(spectrum, rank) >= share) return rank;
  }
  return kDense;
}

std::vector<int64_t> spread_ranks(std::span<const Spectrum> spectra, int64_t parameters_max) {
  std::vector<int64_t> ranks;
  std::vector<std::vector<Point>> points;
  std::vector<Step> steps;
  int64_t used = 0;
  for (size_t i = 0; i < spectra.size(); ++i) {
    points.push_back(points_of(spectra[i]));
    ranks.push_back(points.back().front().rank);
    used += points.back().front().parameters;
    for (const Step& step : steps_of(points.back(), i)) steps.push_back(step);
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.gain() > b.gain(); });
  for (const Step& step : steps) {
    int64_t& rank = ranks[step.matrix];
    if (rank != step.from.rank) continue;  // an earlier step of this matrix did not fit
    // What is left may pay for a part of the step.
    for (const Point& point : points[step.matrix]) {
      if (point.parameters <= step.from.parameters || point.parameters > step.to.parameters) {
        continue;
      }
      const int64_t extra = point.parameters - parameters(spectra[step.matrix], rank);
      if (used + extra > parameters_max) break;
      used += extra;
      rank = point.rank;
    }
  }
  return ranks;
}

}  // namespace brisk
