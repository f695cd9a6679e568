// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, ungated MLP, biases everywhere.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> gpt2_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  const int64_t positions = checkpoint.config.context_length;
  if (spec.context_length > positions) {
    return invalid_input("the model has {} learned positions; a context of {} cannot be", positions,
                         spec.context_length);
  }
  spec.norm = NormKind::kLayer;
  spec.activation = Activation::kGeluTanh;
  spec.gated_mlp = false;
  spec.learned_positions = true;
  spec.ropes[0].style = RopeStyle::kNone;
  return spec;
}

TensorNames gpt2_names(Layout layout) {
  TensorNames names = common_names(layout);
  names.gate = "";
  if (layout != Layout::kHuggingFace) {
    names.positions = "position_embd.weight";
    names.qkv = "blk.{}.attn_qkv.weight";
    return names;
  }
  names.transposed = true;
  names.embedding = "wte.weight";
  names.positions = "wpe.weight";
  names.final_norm = "ln_f.weight";
  names.attention_norm = "h.{}.ln_1.weight";
  names.qkv = "h.{}.attn.c_attn.weight";
  names.o = "h.{}.attn.c_proj.weight";
  names.ffn_norm = "h.{}.ln_2.weight";
  names.up = "h.{}.mlp.c_fc.weight";
  names.down = "h.{}.mlp.c_proj.weight";
  return names;
}

constexpr std::string_view kGgufNames[] = {"gpt2"};
constexpr std::string_view kHuggingFaceNames[] = {"gpt2"};

}  // namespace

const Architecture kGpt2 = {"gpt2", kGgufNames, kHuggingFaceNames, gpt2_spec, gpt2_names};

}  // namespace brisk
