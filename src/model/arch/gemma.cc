// Gemma 2 (Riviere et al. 2024) and Gemma 3 (Gemma team 2025), text.
#include <cmath>

#include "model/arch/rows.h"

namespace brisk {
namespace {

// Norms are stored as an offset from one in Hugging Face's layout and folded in GGUF's; embeddings
// are scaled; both branches of a layer end in a norm.
absl::StatusOr<ModelSpec> gemma_spec(const Checkpoint& checkpoint, int64_t context_max,
                                     size_t layers_of_27b) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  const ModelConfig& config = checkpoint.config;
  spec.norm = config.layout == Layout::kGguf ? NormKind::kRms : NormKind::kRmsPlusOne;
  spec.activation = Activation::kGeluTanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  // GGUF does not store the query scale; only the 27B models differ from 1/sqrt(head_dim).
  if (config.attention_scale == 0 && spec.layers.size() == layers_of_27b) {
    spec.attention_scale =
        1 / std::sqrt(static_cast<float>(spec.hidden_size) / static_cast<float>(spec.heads));
  }
  return spec;
}

absl::StatusOr<ModelSpec> gemma2_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, gemma_spec(checkpoint, context_max, 46));
  const ModelConfig& config = checkpoint.config;
  spec.attention_softcap = static_cast<float>(config.attention_softcap);
  spec.final_softcap = static_cast<float>(config.final_softcap);
  set_sliding_windows(config, config.sliding_window_pattern > 0 ? config.sliding_window_pattern : 2,
                      &spec);
  return spec;
}

absl::StatusOr<ModelSpec> gemma3_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, gemma_spec(checkpoint, context_max, 62));
  const ModelConfig& config = checkpoint.config;
  spec.final_softcap = static_cast<float>(config.final_softcap);
  set_sliding_windows(config, config.sliding_window_pattern > 0 ? config.sliding_window_pattern : 6,
                      &spec);
  const double local_theta = config.rope_theta_local > 0 ? config.rope_theta_local : 10000;
  BRISK_ASSIGN_OR_RETURN(RopeSpec local, rope_spec(checkpoint, spec, local_theta, RopeScaling{},
                                                   spec.ropes[0].rotary_dim));
  spec.ropes.push_back(std::move(local));
  for (LayerSpec& layer : spec.layers) layer.rope = layer.sliding_window > 0 ? 1 : 0;
  return spec;
}

TensorNames gemma2_names(Layout layout) {
  TensorNames names = common_names(layout);
  if (layout == Layout::kHuggingFace) {
    const std::string layer = "model.layers.{}.";
    names.post_attention_norm = layer + "post_attention_layernorm.weight";
    names.ffn_norm = layer + "pre_feedforward_layernorm.weight";
    names.post_ffn_norm = layer + "post_feedforward_layernorm.weight";
  } else {
    names.post_attention_norm = "blk.{}.post_attention_norm.weight";
    names.post_ffn_norm = "blk.{}.post_ffw_norm.weight";
  }
  return names;
}

TensorNames gemma3_names(Layout layout) { return with_head_norms(gemma2_names(layout), layout); }

constexpr std::string_view kGgufNames2[] = {"gemma2"};
constexpr std::string_view kGgufNames3[] = {"gemma3"};
constexpr std::string_view kHuggingFaceNames2[] = {"gemma2"};
constexpr std::string_view kHuggingFaceNames3[] = {"gemma3", "gemma3_text"};

}  // namespace

const Architecture kGemma2 = {"gemma2", kGgufNames2, kHuggingFaceNames2, gemma2_spec, gemma2_names};
const Architecture kGemma3 = {"gemma3", kGgufNames3, kHuggingFaceNames3, gemma3_spec, gemma3_names};

}  // namespace brisk
