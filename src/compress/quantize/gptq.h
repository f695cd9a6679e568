// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2022, arXiv 2210.17323): inputs are rounded one after
// the other, and those that are still to come make up for the error, as far as the inputs seen in
// calibration go together.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "compute/quant/row_grids.h"
#include "compute/sys/thread_team.h"

namespace brisk {

// The upper factor U of the inverse of H = gram + damping * mean(diagonal) * I, H^-1 = U^T U: row j
// says what an error in input j asks of the inputs after it. Matrices with one input share it.
class InverseFactor {
 public:
  // `gram`: (depth, depth), symmetric. `order`: the inputs, in the order in which they are gone
  // through; empty: as they lie. Inputs that were never seen stand alone. The damping grows until
  // the factorisation succeeds. Errors: InvalidArgument when the Gram matrix is not finite.
  static absl::StatusOr<InverseFactor> create(std::span<const float> gram, int64_t depth,
                                              double damping, std::vector<int64_t> order = {});

  int64_t depth() const { return depth_; }
  // (depth): the input that is gone through j-th. Inputs below are counted in this order.
  const std::vector<int64_t>& order() const { return order_; }
  // (depth - j) values: of inputs j, j + 1, ...
  const float* row_from_diagonal(int64_t j) const { return factor_.data() + j * depth_ + j; }
  // (depth, depth), row-major; zero below the diagonal.
  const float* data() const { return factor_.data(); }

 private:
  int64_t depth_ = 0;
  std::vector<int64_t> order_;
  std::vector<float> factor_;
};

// The inputs that are largest first, so that most are left to make up for their errors: runs of
// `run` inputs by their sum of squares, and those of a run among themselves; so codes of a run are
// chosen one after the other. `gram`: (depth, depth).
std::vector<int64_t> largest_first(std::span<const float> gram, int64_t depth, int64_t run);

struct GptqMatrix {
  const float* weights = nullptr;  // (rows, depth)
  int64_t rows = 0;
  int64_t depth = 0;
  const float* importance = nullptr;  // (depth): of the inputs, for choosing grids; null: all alike
};

// Chooses the codes of all rows. Grids of a run of inputs are fitted to what is left of its weights
// when it comes. REQUIRES: the factor's order goes through one run of the grids after the other,
// the shorter one last. Rows do not depend on each other: the codes are the same for any number of
// threads.
void gptq(ThreadTeam& team, const InverseFactor& factor, const GptqMatrix& matrix, RowGrids& grids);

}  // namespace brisk
