// How long a step takes on this machine, learned from the steps that were made:
//   seconds = step + token * tokens + position * positions attended to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/sched/scheduler.h"

namespace brisk {

// Least squares of the relative error, without negative terms, over roughly the last thousand
// steps; a term that recent steps say nothing about keeps its value. One thread.
class StepTimeModel {
 public:
  // REQUIRES: tokens > 0, seconds > 0.
  void observe(int64_t tokens, int64_t positions, double seconds);

  // All 0 before the first step.
  StepCosts costs() const;

 private:
  static constexpr size_t kTerms = 3;
  using Terms = std::array<double, kTerms>;

  Terms solve() const;

  // The normal equations, older steps weighing less.
  std::array<Terms, kTerms> products_{};
  Terms results_{};
  Terms seconds_{};  // of a step, a token, a position
  bool has_data_ = false;
};

}  // namespace brisk
