// Llama 3's scaling of the rotation, which Hugging Face writes as parameters and GGUF as a tensor.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/checkpoint/config.h"

namespace brisk {

// What stands in rope_freqs.weight: how much longer each pair of dimensions takes to turn.
// REQUIRES: the scaling is llama3's.
std::vector<float> llama3_rope_factors(const ModelConfig& config);

// The parameters that give `factors`, with the constants of every published Llama 3; nullopt when
// they do not.
std::optional<RopeScaling> llama3_scaling_of(const ModelConfig& config,
                                             std::span<const float> factors);

}  // namespace brisk
