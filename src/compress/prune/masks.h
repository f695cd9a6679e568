// Which weights of a matrix are removed: those with the lowest scores, among all, in each row, or
// among every few neighbours.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace brisk {

// How many weights stay, and among which they are chosen.
struct SparsityPattern {
  double sparsity = 0.5;  // share that is removed, in [0, 1); with groups: 1 - keep / of
  // Of every `group` consecutive inputs of a row `keep` stay ("2:4"); 0: no groups. What is left at
  // the end of a row keeps its share, rounded up.
  int keep = 0;
  int group = 0;

  bool has_groups() const { return group > 0; }
};

// Sets to zero what goes of one row of `depth` weights. `scores`: (depth), any finite numbers; the
// lowest go, the later one first among equals.
void prune_row(const SparsityPattern& pattern, std::span<const float> scores,
               std::span<float> weights);

// The value that a share `sparsity` of the numbers lies below: what is <= it, or below it, goes.
// Finds it exactly with two counts of 65,536 by the bits of non-negative floats, so that nothing
// need be kept in memory: add() all, then refine() and add() all again.
class ExactQuantile {
 public:
  void add(std::span<const float> values);  // of any sign: magnitudes count
  // Between the two rounds. `share`: of all values that go.
  void refine(double share);
  // After the second: as many values as were to go are smaller, or equal to it and counted by
  // `equal_that_go()`.
  float threshold() const;
  int64_t equal_that_go() const;

 private:
  bool refining_ = false;
  uint32_t high_ = 0;  // upper half of the threshold's bits
  int64_t to_go_ = 0;  // of those with that upper half
  std::vector<int64_t> counts_ = std::vector<int64_t>(1 << 16);
};

}  // namespace brisk
