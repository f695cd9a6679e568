// Latencies in a few figures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace brisk {

// Of nothing: all 0.
struct Summary {
  int64_t count = 0;
  double mean = 0;
  double median = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
};

Summary summarize(std::vector<double> values);

// Keeps all of the first `capacity` values, and beyond that an even sample of all there were
// (Vitter's algorithm R), so that a run of any length fits into memory.
class Reservoir {
 public:
  explicit Reservoir(size_t capacity) : capacity_(capacity) {}
  void add(double value);
  const std::vector<double>& values() const { return values_; }
  int64_t seen() const { return static_cast<int64_t>(seen_); }

 private:
  const size_t capacity_;
  uint64_t seen_ = 0;
  std::vector<double> values_;
  Rng rng_{0};
};

}  // namespace brisk
