#include "engine/step_time.h"

#include <algorithm>
#include <cmath>

namespace brisk {
namespace {

constexpr double kForgetting = 0.999;
// How strongly a term holds on to its last value, against all the evidence: enough where there is
// none, because all steps were alike.
constexpr double kInertia = 1e-4;

}  // namespace

void StepTimeModel::observe(int64_t tokens, int64_t positions, double seconds) {
  const Terms counts = {1, static_cast<double>(tokens), static_cast<double>(positions)};
  if (!has_data_) {
    // Until steps differ, half is taken to be the step's and half the tokens'.
    seconds_ = {seconds / 2, seconds / 2 / counts[1], 0};
    has_data_ = true;
  }
  for (size_t i = 0; i < kTerms; ++i) {
    results_[i] = results_[i] * kForgetting + counts[i] / seconds;
    for (size_t j = 0; j < kTerms; ++j) {
      products_[i][j] = products_[i][j] * kForgetting + counts[i] * counts[j] / (seconds * seconds);
    }
  }
  seconds_ = solve();
}

// Gaussian elimination over the terms that are not held at zero; terms that come out negative are,
// and the rest is solved again.
StepTimeModel::Terms StepTimeModel::solve() const {
  std::array<bool, kTerms> held{};
  Terms solution{};
  for (size_t attempt = 0; attempt < kTerms; ++attempt) {
    auto matrix = products_;
    solution = results_;
    for (size_t i = 0; i < kTerms; ++i) {
      const double inertia = std::max(kInertia * products_[i][i], 1e-30);  // 0: never seen
      matrix[i][i] += inertia;
      solution[i] += inertia * seconds_[i];
      if (!held[i]) continue;
      for (size_t j = 0; j < kTerms; ++j) matrix[i][j] = matrix[j][i] = 0;
      matrix[i][i] = 1;
      solution[i] = 0;
    }
    for (size_t pivot = 0; pivot < kTerms; ++pivot) {
      for (size_t row = 0; row < kTerms; ++row) {
        if (row == pivot) continue;
        const double factor = matrix[row][pivot] / matrix[pivot][pivot];
        for (size_t j = pivot; j < kTerms; ++j) matrix[row][j] -= factor * matrix[pivot][j];
        solution[row] -= factor * solution[pivot];
      }
    }
    bool is_valid = true;
    for (size_t i = 0; i < kTerms; ++i) {
      solution[i] /= matrix[i][i];
      if (solution[i] >= 0) continue;
      held[i] = true;
      is_valid = false;
    }
    if (is_valid) break;
  }
  for (double& term : solution) term = std::isfinite(term) ? std::max(term, 0.0) : 0;
  return solution;
}

StepCosts StepTimeModel::costs() const {
  return {.step = std::llround(seconds_[0] * 1e9),
          .token = std::llround(seconds_[1] * 1e9),
          .thousand_positions = std::llround(seconds_[2] * 1e12)};
}

}  // namespace brisk
