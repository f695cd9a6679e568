// Where the matrices of a layer lie in their checkpoint.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"

namespace brisk {

// Products of a layer that share an input.
enum class InputSite : uint8_t {
  kAttention,        // q, k, v: what the attention's norm gives
  kAttentionOutput,  // o
  kMlp,              // gate, up (of the dense MLP, of the shared expert, of an expert)
  kMlpInner,         // down
  kFactor,           // the second of two factors: what the first gives
};

struct LayerMatrix {
  Linear* linear = nullptr;  // of the model
  InputSite site = InputSite::kAttention;
  const NamedTensor* tensor = nullptr;  // of the checkpoint, whose rows it is
  int64_t first_row = 0;                // in that tensor
  int64_t rows = 0;
  int64_t depth = 0;
  std::string name;  // for people: the tensor's, with the expert's number where it has many

  bool is_whole() const { return tensor->tensor.values() == rows * depth; }
};

// All matrices of a layer but routers, experts one after the other; of projections that are two
// factors both, the first ones of an input before its other products. REQUIRES: the weights are
// still those of the checkpoint. Errors: Unimplemented for layouts that store matrices transposed.
absl::StatusOr<std::vector<LayerMatrix>> layer_matrices(Model& model, size_t layer);

}  // namespace brisk
