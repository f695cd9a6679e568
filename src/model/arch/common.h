// What most decoder families share, for the files beside this one to begin from.
#pragma once

#include <absl/status/statusor.h>

#include "model/arch/architecture.h"

namespace brisk {

// Sizes and ranges from the configuration, checked; one full rotation of every head; SiLU-gated
// MLP; RMS norms; every layer equal. `context_max` > 0 replaces the context length. The
// vocabulary's size is left to the caller, who sees the embedding.
absl::StatusOr<ModelSpec> common_spec(const Checkpoint& checkpoint, int64_t context_max);

// The rotation the configuration asks for, scaling included.
// GGUF keeps llama3 and longrope factors as tensors (rope_freqs, rope_factors_*).
// Errors: InvalidArgument when factors are missing or of the wrong length.
absl::StatusOr<RopeSpec> rope_spec(const Checkpoint& checkpoint, const ModelSpec& spec,
                                   double theta, const RopeScaling& scaling, int64_t rotary_dim);

// What LongRoPE multiplies sines and cosines with, where a checkpoint does not say (Ding et al.
// 2024, as Phi 3 has it).
double longrope_magnitude(int64_t context_length, int64_t original_context_length);

// Gives layers their window: those the checkpoint lists, else all but every n-th (pattern n), else,
// with pattern 0, every one.
void set_sliding_windows(const ModelConfig& config, int64_t pattern, ModelSpec* spec);

// Names that llama made common: Hugging Face's model.layers.{}.self_attn..., GGUF's blk.{}....
TensorNames common_names(Layout layout);

}  // namespace brisk
