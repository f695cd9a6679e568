// The rows of the architecture table, one per family, and helpers only they use.
#pragma once

#include "base/status.h"
#include "model/arch/architecture.h"
#include "model/arch/common.h"

namespace brisk {

extern const Architecture kLlama;
extern const Architecture kMistral;
extern const Architecture kMixtral;
extern const Architecture kQwen2;
extern const Architecture kQwen2Moe;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;
extern const Architecture kPhi3;
extern const Architecture kGemma2;
extern const Architecture kGemma3;
extern const Architecture kGpt2;
extern const Architecture kBitnet;

// Routed experts in every layer but those the configuration calls dense. `normalize` holds where
// the checkpoint does not say.
void set_experts(const ModelConfig& config, bool normalize, ModelSpec* spec);

// Adds the names of per-head query and key norms.
TensorNames with_head_norms(TensorNames names, Layout layout);

}  // namespace brisk
