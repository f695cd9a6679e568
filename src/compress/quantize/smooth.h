// Inputs and weights rescaled against each other before rounding, so that neither has outliers that
// the other pays for: x W^T = (x / s) (W diag(s))^T. The division goes into what makes the input.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compress/calibrate/input_statistics.h"
#include "compress/edit/working_matrix.h"

namespace brisk {

enum class Smoothing : uint8_t {
  kNone,
  // s = mean|x|^a, a from 0 to 1, whichever leaves the least error in the products (AWQ: Lin, Tang,
  // Tang, Yang, Chen, Wang, Xiao, Dang, Gan, Han 2023, arXiv 2306.00978).
  kAwq,
  // s = max|x|^a / max|w|^(1 - a), a = 0.5 (SmoothQuant: Xiao, Lin, Seznec, Wu, Demouth, Han 2022,
  // arXiv 2211.10438): for activations that are rounded per token.
  kSmoothQuant,
};

// Rounds one row of `depth` values as the matrix will be stored and writes what it decodes to.
// Thread-safe. `importance`: (depth), of the inputs.
using TryRounding = std::function<void(const WorkingMatrix& matrix, const float* row,
                                       const float* importance, float* out)>;

struct SmoothInput {
  const InputStatistics* statistics = nullptr;
  std::vector<WorkingMatrix*> matrices;  // all products of that input
};

// The factors s of an input, all positive and finite. `kv_group`: for attention outputs, how many
// heads share a value head of `head_dim` inputs, whose factors are then equal; else 1.
struct FactorGroups {
  int64_t kv_group = 1;
  int64_t head_dim = 1;
};
std::vector<float> smoothing_factors(Smoothing method, const SmoothInput& input,
                                     const FactorGroups& groups, const TryRounding& rounding,
                                     const KernelTable& kernels, ThreadTeam& team);

// Null: it is none of them.
WorkingMatrix* find_matrix(std::vector<WorkingMatrix>& matrices, const Linear& linear);

// Multiplies the inputs' columns by the factors.
void scale_columns(WorkingMatrix& matrix, std::span<const float> factors);
// Divides rows [0, factors) of the matrix, and its bias, by the factors.
void divide_rows(WorkingMatrix& matrix, std::span<const float> factors);
// Lets the edit have the bias of a matrix, if it has one.
void store_bias(const Checkpoint& checkpoint, const WorkingMatrix& matrix, CheckpointEdit& edit);

// Divides a norm's weights, and its bias, by the factors, and lets the edit have them. `name`: of
// its weights. Errors: InvalidArgument where the checkpoint has no such tensor.
struct DividedNorm {
  std::string name;
  NormWeights* norm = nullptr;
  bool plus_one = false;  // it multiplies by 1 + weight
};
absl::Status divide_norm(const DividedNorm& divided, std::span<const float> factors,
                         const Checkpoint& checkpoint, CheckpointEdit& edit);

}  // namespace brisk
