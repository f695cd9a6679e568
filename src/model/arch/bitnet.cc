// BitNet b1.58 (Ma et al. 2024) as llama2.c-style files hold it: ternary projections, each of whose
// inputs is scaled to unit length and rounded to int8; no other norms but the final one.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> bitnet_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  spec.ropes[0].style = RopeStyle::kInterleaved;
  spec.quantize_activations = true;
  return spec;
}

TensorNames bitnet_names(Layout layout) {
  TensorNames names = common_names(layout);
  names.attention_norm = "";
  names.ffn_norm = "";
  return names;
}

constexpr std::string_view kGgufNames[] = {"bitnet"};

}  // namespace

const Architecture kBitnet = {"bitnet", kGgufNames, {}, bitnet_spec, bitnet_names};

}  // namespace brisk
