// BitNet b1.58 (Ma et al. 2024) as bitllama2.c trained it: ternary projections, each of which
// brings its input to length 1/sqrt(width) and rounds it to int8; no other norms but the final one.
// GGUF and Hugging Face know BitNet with learned norms before the projections: there such a model
// has norms that are 1/width everywhere, which are the same function.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "compute/quant/format.h"
#include "model/arch/rows.h"

namespace brisk {
namespace {

// Small enough to decode as a whole.
absl::StatusOr<std::vector<float>> values_of(const Checkpoint& checkpoint, const std::string& name,
                                             int64_t size) {
  const Tensor* tensor = checkpoint.find(name);
  if (tensor == nullptr) return invalid_input("the checkpoint has no tensor {}", name);
  const Format& format = format_of(tensor->dtype);
  if (tensor->values() != size || format.decode == nullptr || size % format.block_values != 0) {
    return invalid_input("{}: expected {} values", name, size);
  }
  std::vector<float> values(static_cast<size_t>(size));
  decode_values(*tensor, 0, size, values.data());
  return values;
}

absl::Status check_all_are(const std::vector<float>& values, float wanted,
                           const std::string& name) {
  const auto differs = [wanted](float value) {
    constexpr float kHalfPrecision = 1.0f / 512;  // what bf16 leaves of a value
    return !(std::abs(value - wanted) <= kHalfPrecision * wanted);
  };
  if (std::none_of(values.begin(), values.end(), differs)) return absl::OkStatus();
  return unsupported(
      "{} is not {} everywhere: brisk runs the BitNet of bitllama2.c, without learned norms and "
      "with the scales of its weights multiplied in",
      name, wanted);
}

// The norms of the other layouts must be those that stand for none.
absl::Status check_norms(const Checkpoint& checkpoint, const ModelSpec& spec) {
  const Layout layout = checkpoint.config.layout;
  if (layout == Layout::kLlama2c) return absl::OkStatus();
  const TensorNames names = kBitnet.names(layout);
  const int64_t mixed = int64_t{spec.heads} * spec.head_dim;
  const std::pair<const std::string&, int64_t> norms[] = {
      {names.attention_norm, spec.hidden_size},
      {names.attention_sub_norm, mixed},
      {names.ffn_norm, spec.hidden_size},
      {names.ffn_sub_norm, spec.ffn_size},
  };
  const std::string* const projections[] = {&names.q,    &names.k,  &names.v,   &names.o,
                                            &names.gate, &names.up, &names.down};
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    for (const auto& [pattern, width] : norms) {
      const std::string name = with_number(pattern, static_cast<int64_t>(i));
      BRISK_ASSIGN_OR_RETURN(const auto values, values_of(checkpoint, name, width));
      BRISK_RETURN_IF_ERROR(check_all_are(values, 1 / static_cast<float>(width), name));
    }
    for (const std::string* pattern : projections) {
      std::string name = with_number(*pattern, static_cast<int64_t>(i));
      name.replace(name.rfind("weight"), 6, names.scale);
      if (checkpoint.find(name) == nullptr) continue;
      BRISK_ASSIGN_OR_RETURN(const auto values, values_of(checkpoint, name, 1));
      BRISK_RETURN_IF_ERROR(check_all_are(values, 1, name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelSpec> bitnet_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  BRISK_RETURN_IF_ERROR(check_norms(checkpoint, spec));
  if (checkpoint.config.layout == Layout::kLlama2c) spec.ropes[0].style = RopeStyle::kInterleaved;
  spec.quantize_activations = true;
  return spec;
}

TensorNames bitnet_names(Layout layout) {
  TensorNames names = common_names(layout);
  if (layout == Layout::kLlama2c) {
    names.attention_norm = "";
    names.ffn_norm = "";
    return names;
  }
  const bool hugging_face = layout == Layout::kHuggingFace;
  names.attention_sub_norm = hugging_face ? "model.layers.{}.self_attn.attn_sub_norm.weight"
                                          : "blk.{}.attn_sub_norm.weight";
  names.ffn_sub_norm =
      hugging_face ? "model.layers.{}.mlp.ffn_sub_norm.weight" : "blk.{}.ffn_sub_norm.weight";
  names.scale = hugging_face ? "weight_scale" : "scale";
  return names;
}

constexpr std::string_view kGgufNames[] = {"bitnet"};
constexpr std::string_view kHuggingFaceNames[] = {"bitnet"};

}  // namespace

const Architecture kBitnet = {"bitnet", kGgufNames, kHuggingFaceNames, bitnet_spec, bitnet_names};

}  // namespace brisk
