#include <algorithm>
#include <string>

#include "model/arch/rows.h"

namespace brisk {
namespace {

const Architecture* const kArchitectures[] = {
    &kLlama,    &kMistral, &kMixtral, &kQwen2,  &kQwen2Moe, &kQwen3,
    &kQwen3Moe, &kPhi3,    &kGemma2,  &kGemma3, &kGpt2,     &kBitnet,
};

}  // namespace

absl::StatusOr<const Architecture*> find_architecture(const ModelConfig& config) {
  const bool hugging_face = config.layout == Layout::kHuggingFace;
  std::string known;
  for (const Architecture* row : kArchitectures) {
    for (const std::string_view name : hugging_face ? row->hugging_face_names : row->gguf_names) {
      if (name == config.architecture) return row;
      known += known.empty() ? std::string(name) : fmt::format(", {}", name);
    }
  }
  return unsupported("the architecture \"{}\" is not known; known: {}", config.architecture, known);
}

// GGUF calls Mistral and Mixtral llama, too.
std::string_view gguf_name(const Architecture& architecture) {
  if (!architecture.gguf_names.empty()) return architecture.gguf_names.front();
  return &architecture == &kMistral || &architecture == &kMixtral ? "llama" : "";
}

bool interleaves(const Architecture& architecture, Layout layout) {
  switch (layout) {
    case Layout::kLlama2c:
      return true;
    case Layout::kGguf:
      return gguf_name(architecture) == "llama";
    case Layout::kHuggingFace:
      return false;
  }
  return false;
}

std::string with_number(std::string pattern, int64_t number) {
  const size_t at = pattern.find("{}");
  return at == std::string::npos ? pattern : pattern.replace(at, 2, std::to_string(number));
}

void set_experts(const ModelConfig& config, bool normalize, ModelSpec* spec) {
  spec->moe = {.experts = static_cast<int>(config.experts),
               .experts_per_token = static_cast<int>(config.experts_per_token),
               .ffn_size = static_cast<int>(config.expert_ffn_size > 0 ? config.expert_ffn_size
                                                                       : config.ffn_size),
               .shared_ffn_size = static_cast<int>(config.shared_expert_ffn_size),
               .normalize_weights = config.normalize_expert_weights.value_or(normalize)};
  const int64_t step = std::max<int64_t>(1, config.sparse_step);
  for (size_t i = 0; i < spec->layers.size(); ++i) {
    const auto& dense = config.dense_layers;
    const bool listed =
        std::find(dense.begin(), dense.end(), static_cast<int64_t>(i)) != dense.end();
    spec->layers[i].routed =
        config.experts > 0 && !listed && (static_cast<int64_t>(i) + 1) % step == 0;
  }
}

TensorNames with_head_norms(TensorNames names, Layout layout) {
  const bool hugging_face = layout == Layout::kHuggingFace;
  names.q_norm =
      hugging_face ? "model.layers.{}.self_attn.q_norm.weight" : "blk.{}.attn_q_norm.weight";
  names.k_norm =
      hugging_face ? "model.layers.{}.self_attn.k_norm.weight" : "blk.{}.attn_k_norm.weight";
  return names;
}

}  // namespace brisk
