// Mixtral (Jiang et al. 2024): Mistral with routed experts; the chosen experts' weights are a
// softmax over the chosen ones. GGUF calls it llama.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> mixtral_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  set_sliding_windows(checkpoint.config, 0, &spec);
  set_experts(checkpoint.config, /*normalize=*/true, &spec);
  return spec;
}

TensorNames mixtral_names(Layout layout) {
  TensorNames names = common_names(layout);
  const std::string moe = "model.layers.{}.block_sparse_moe.";
  names.router = moe + "gate.weight";
  names.expert_gate = moe + "experts.{}.w1.weight";
  names.expert_up = moe + "experts.{}.w3.weight";
  names.expert_down = moe + "experts.{}.w2.weight";
  return names;
}

constexpr std::string_view kHuggingFaceNames[] = {"mixtral"};

}  // namespace

const Architecture kMixtral = {"mixtral", {}, kHuggingFaceNames, mixtral_spec, mixtral_names};

}  // namespace brisk
