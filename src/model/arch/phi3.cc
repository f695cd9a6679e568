// Phi 3 (Abdin et al. 2024): Llama with fused projections, partial rotation and LongRoPE.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> phi3_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  set_sliding_windows(checkpoint.config, 0, &spec);
  return spec;
}

TensorNames phi3_names(Layout layout) {
  TensorNames names = common_names(layout);
  const bool hugging_face = layout == Layout::kHuggingFace;
  names.qkv = hugging_face ? "model.layers.{}.self_attn.qkv_proj.weight" : "blk.{}.attn_qkv.weight";
  names.gate_up = hugging_face ? "model.layers.{}.mlp.gate_up_proj.weight" : "blk.{}.ffn_up.weight";
  for (std::string* unfused : {&names.q, &names.k, &names.v, &names.gate, &names.up}) *unfused = "";
  return names;
}

constexpr std::string_view kGgufNames[] = {"phi3"};
constexpr std::string_view kHuggingFaceNames[] = {"phi3"};

}  // namespace

const Architecture kPhi3 = {"phi3", kGgufNames, kHuggingFaceNames, phi3_spec, phi3_names};

}  // namespace brisk
