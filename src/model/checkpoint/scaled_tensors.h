// Puts the tensors in which quantised Hugging Face checkpoints keep a matrix together again, as one
// matrix that is read where it lies (compute/tensor/scaled_matrix.h).
//
// MODULE.weight comes from, with `out` outputs, `in` inputs and G groups of inputs:
//   gptq     qweight (in * bits / 32, out), qzeros (G, out * bits / 32), scales (G, out), and
//            perhaps g_idx (in), the group of each input. Words go down a column of qweight.
//            Layout of AutoGPTQ and GPTQModel; docs "GPTQ checkpoint format", danieldk.eu.
//   awq      qweight (in, out / 8), qzeros (G, out / 8), scales (G, out); in a word, from the
//   lowest
//            bits, outputs 0, 2, 4, 6, 1, 3, 5, 7. AutoAWQ's "gemm".
//   compressed-tensors  pack-quantized: weight_packed (out, in * bits / 32), weight_scale (out, G),
//            weight_shape, and perhaps weight_zero_point (out * bits / 32, G) or as bytes (out, G),
//            and weight_g_idx (in); codes and zeros are stored plus 2^(bits - 1).
//            int-quantized: weight (out, in) int8, weight_scale, perhaps weight_zero_point.
//            float-quantized: weight (out, in) F8_E4M3, weight_scale: one, (out), (out, 1) or
//            blocks.
//   fp8      weight F8_E4M3, weight_scale_inv (a scale for each block, whatever its name says), as
//            DeepSeek-V3's, or weight_scale.
#pragma once

#include <absl/status/status.h>

#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/quantization_config.h"

namespace brisk {

// Replaces the parts of each matrix in `checkpoint` by the matrix, MODULE.weight; what only rounds
// activations is dropped, since brisk rounds them in its own way. Modules that are not quantised
// stay. Errors: InvalidArgument naming the tensor whose shape or type does not fit, or that is
// missing.
absl::Status combine_scaled_tensors(const QuantizationConfig& config, Checkpoint& checkpoint);

}  // namespace brisk
