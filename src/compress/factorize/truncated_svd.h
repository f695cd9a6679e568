// The product of two small matrices that comes nearest to a weight matrix, or to what it makes of
// its inputs: a truncated singular value decomposition (Eckart, Young 1936), of W or of W S with
// S S^T the Gram matrix of the inputs (SVD-LLM: Wang, Zheng, Wan, Zhang 2024, arXiv 2403.07378).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "compute/kernels/cpu/kernel_table.h"

namespace brisk {

struct WeightsAndInputs {
  std::span<const float> weights;  // (rows, depth), finite
  int64_t rows = 0;
  int64_t depth = 0;
  std::span<const float> gram =
      {};                 // (depth, depth): sums of x x^T; empty: nothing is known of inputs
  double damping = 0.01;  // added to its diagonal, as a share of its mean; above 0
};

// W is about b a.
struct LowRankFactors {
  std::vector<float> a;  // (rank, depth)
  std::vector<float> b;  // (rows, rank)
};

class TruncatedSvd {
 public:
  // Both take time with the cube, and memory with the square, of the smaller side; wide inputs
  // also with the square of `depth`. Products are f32, by `kernels`: what is less than a millionth
  // of the largest energy is noise. Any number of threads may do it at once.
  // Errors: InvalidArgument when inputs are not finite.
  static absl::StatusOr<TruncatedSvd> decompose(const WeightsAndInputs& job,
                                                const KernelTable& kernels);
  // energies() alone, which is faster.
  static absl::StatusOr<std::vector<double>> measure_energies(const WeightsAndInputs& job,
                                                              const KernelTable& kernels);

  // (min(rows, depth)): what each component adds to the squared size of W or W S, largest first.
  const std::vector<double>& energies() const { return energies_; }

  // The first components: no product of this rank is nearer. Component by component, a and b are
  // equally long. REQUIRES: 1 <= rank <= min(rows, depth).
  LowRankFactors factors(int64_t rank) const;

 private:
  int64_t rows_ = 0, depth_ = 0;
  std::vector<double> energies_;
  std::vector<float> a_, b_;  // (components, depth), (components, rows)
};

// The b for which b a comes nearest to W, or to what W makes of its inputs, given an a that may not
// be that of the decomposition (it was rounded, say): least squares, (rows, rank). Components whose
// row of a is zero get zeros. REQUIRES: `a` is (rank, depth), finite. Errors: InvalidArgument when
// inputs are not finite.
absl::StatusOr<std::vector<float>> fit_b(const WeightsAndInputs& job, std::span<const float> a,
                                         const KernelTable& kernels);

}  // namespace brisk
