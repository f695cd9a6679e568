// A format for each matrix, so that all together take a given number of bits a weight and the
// model's predictions change least.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "compress/calibrate/windows.h"
#include "compute/sys/thread_team.h"
#include "model/model.h"

namespace brisk {

// What storing a matrix in a format costs.
struct FormatCost {
  DType dtype = DType::kF32;
  double bits = 0;  // a weight
  double kl = 0;    // of the model's predictions when only this matrix is rounded, nats a token
};

struct MixedMatrix {
  const NamedTensor* tensor = nullptr;
  int64_t values = 0;
  std::vector<FormatCost> formats;  // finer and finer
  size_t chosen = 0;                // of formats
};

// Rounds one matrix after the other to the coarsest format of at least four bits that fits its rows
// and measures how the predictions of the windows move: KL against the model as it is. For other
// formats that is scaled by their squared error, which it follows to first order. Matrices of all
// layers, embedding and head. Errors: InvalidArgument for weights that are not finite;
// ResourceExhausted.
absl::StatusOr<std::vector<MixedMatrix>> measure_sensitivity(
    Model& model, const TokenWindows& windows, ThreadTeam& team,
    const std::function<void(int64_t done, int64_t total)>& progress);

// Chooses formats: as long as the budget allows, the step to a finer one that saves most divergence
// for its bits. Errors: InvalidArgument when even the coarsest take more than `bits` a weight.
absl::Status spread_bits(double bits, std::vector<MixedMatrix>& matrices);

}  // namespace brisk
