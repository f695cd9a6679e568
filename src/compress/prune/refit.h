// Fits the weights of the inputs that stay to what all of them gave.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <span>
#include <vector>

namespace brisk {

// `weights` (rows, depth) of inputs with `gram` (depth, depth) become (rows, kept): those with the
// least squared error of the products, damped by a share of the Gram matrix's mean diagonal.
// REQUIRES: `kept` is ascending. Errors: Internal when the fit has no solution.
absl::Status refit_columns(std::span<const float> gram, int64_t depth,
                           std::span<const int64_t> kept, double damping,
                           std::vector<float>& weights);

}  // namespace brisk
