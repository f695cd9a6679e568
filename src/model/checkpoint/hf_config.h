// Hugging Face's config.json and generation_config.json under brisk's names.
#pragma once

#include <absl/status/statusor.h>

#include "base/json.h"
#include "model/checkpoint/config.h"

namespace brisk {

// `json`: the contents of config.json. Reads every model type by the same keys (and gpt2's own);
// whether brisk can run the type is for model/arch to say. Multimodal models: the text part.
absl::StatusOr<ModelConfig> read_hf_config(const Json& json);

// `json`: the contents of generation_config.json; adds its end-of-text tokens to `config`.
absl::StatusOr<GenerationDefaults> read_generation_config(const Json& json, ModelConfig& config);

}  // namespace brisk
