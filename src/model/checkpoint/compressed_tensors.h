// Writes matrices of codes as compressed-tensors does, for vLLM and transformers: "pack-quantized"
// for 4 bits, "int-quantized" for 8, "float-quantized" for fp8. Layouts: scaled_tensors.h, which
// reads them.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "compute/quant/scaled_scheme.h"
#include "model/checkpoint/tensor_file_writer.h"

namespace brisk {

// The tensors that a matrix MODULE.weight becomes, in the order in which append_scaled_matrix
// writes them. REQUIRES: `name` ends in "weight".
std::vector<TensorPlan> scaled_matrix_plans(const ScaledScheme& scheme, const std::string& name,
                                            int64_t outputs, int64_t inputs);

// Appends their bytes, for codes that any quantiser chose. REQUIRES: the codes have the sizes that
// the scheme says, and the writer's next tensors are scaled_matrix_plans of that matrix.
absl::Status append_scaled_matrix(const ScaledScheme& scheme, const ScaledCodes& matrix,
                                  TensorFileWriter& writer);

// "quantization_config" of config.json, when all linear modules are rounded but `ignored` (by their
// names, without ".weight").
Json quantization_config_of(const ScaledScheme& scheme, const std::vector<std::string>& ignored);

}  // namespace brisk
