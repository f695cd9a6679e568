// How much the loss feels it when a structure of the model goes, by its first-order Taylor
// expansion (Molchanov, Mallya, Tyree, Frosio, Kautz 2019, arXiv 1906.10771, equation 8 with gates;
// LLM-Pruner, Ma, Fang, Wang 2023, arXiv 2305.11627, groups the parameters of a decoder so).
//
// Every structure has a gate z = 1 that multiplies what it gives, and is removed by z = 0. To the
// first order the loss changes by dL/dz, which is the sum over tokens of activation * gradient, and
// equally the sum over the weights behind the gate of weight * gradient. The score is its square,
// averaged over minibatches, a sequence each.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>

#include "model/checkpoint/structure_importance.h"
#include "train/llama.h"
#include "train/packing.h"

namespace brisk::train {

// dL/dz of every gate. f64.
struct GateGradients {
  at::Tensor neurons;   // (layers, ffn): the inputs of down
  at::Tensor kv_heads;  // (layers, kv_heads): the inputs of o, of all query heads of the group
  at::Tensor channels;  // (dim): what comes of every norm; sizes of norms are held, as pruning does
  at::Tensor layers;    // (layers): both branches
};

// From the gradients that the model's weights have now. REQUIRES: they train.
GateGradients gate_gradients(LlamaModel& model);

// Looks at `sequences` sequences of `stream`; those without a token to learn do not count. Leaves
// zero gradients behind. `on_progress` may be null. Errors: InvalidArgument when the loss is no
// number.
absl::StatusOr<StructureImportance> taylor_importance(
    LlamaModel& model, PackedStream& stream, int64_t sequences,
    const std::function<void(int64_t done, int64_t sequences)>& on_progress);

}  // namespace brisk::train
