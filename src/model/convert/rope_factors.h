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

// Parameters that give `factors`: no scaling, a linear or llama3's. They are fitted, so that they
// need not be the numbers the model was published with, but they give the same rotation to 1e-5;
// nullopt when none do.
std::optional<RopeScaling> rope_scaling_of(const ModelConfig& config,
                                           std::span<const float> factors);

}  // namespace brisk
