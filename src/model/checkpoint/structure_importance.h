// How much each structure of a model matters: what structured pruning goes by, and a small file of
// it, so that whoever can compute gradients may say.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "model/spec.h"

namespace brisk {

// Scores, finite and not negative; higher matters more. Only those of one list compare.
struct StructureImportance {
  std::vector<std::vector<double>> neurons;   // (layers, ffn_size)
  std::vector<std::vector<double>> kv_heads;  // (layers, kv_heads), each with its query heads
  std::vector<double> channels;               // (hidden_size) of the residual stream
  std::vector<double> layers;                 // (layers)
};

// A safetensors file with the four as F32, of these names and shapes. Errors: InvalidArgument for a
// score that is no finite number, and those of writing.
absl::Status write_structure_importance(const std::string& path,
                                        const StructureImportance& importance);

// Errors: InvalidArgument when a tensor is missing, has another type, another shape than the model
// needs, or holds a score that is negative or no number; and those of reading.
absl::StatusOr<StructureImportance> read_structure_importance(const std::string& path,
                                                              const ModelSpec& spec);

}  // namespace brisk
