#include "model/convert/target.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"
#include "model/arch/common.h"
#include "model/bind_weights.h"
#include "model/convert/rope_factors.h"

namespace brisk {
namespace {

bool is_hugging_face(Layout layout) { return layout == Layout::kHuggingFace; }

std::string_view hugging_face_name(const Architecture& architecture, const ModelConfig& config) {
  if (architecture.name == "llama" && config.experts > 0) return "mixtral";
  // The class of this name heeds the window, llama's does not.
  if (architecture.name == "llama" && config.sliding_window > 0) return "mistral";
  if (architecture.name == "gemma3") return "gemma3_text";
  const auto& names = architecture.hugging_face_names;
  return names.empty() ? "" : names.front();
}

bool is_gemma(const Architecture& architecture) { return architecture.name.starts_with("gemma"); }

absl::StatusOr<std::vector<float>> floats_of(const Tensor& tensor, std::string_view name) {
  constexpr int64_t kFactorsMax = 1 << 16;
  if (tensor.dtype != DType::kF32 || tensor.values() > kFactorsMax) {
    return invalid_input("{}: expected a few f32 values", name);
  }
  std::vector<float> values(static_cast<size_t>(tensor.values()));
  decode_values(tensor, 0, tensor.values(), values.data());
  return values;
}

// Scalings that GGUF keeps in tensors become parameters, as Hugging Face has them.
absl::Status read_rope_tensors(const Checkpoint& source, ModelConfig& config) {
  if (const Tensor* tensor = source.find("rope_freqs.weight"); tensor != nullptr) {
    BRISK_ASSIGN_OR_RETURN(const auto factors, floats_of(*tensor, "rope_freqs.weight"));
    const auto scaling = rope_scaling_of(config, factors);
    if (!scaling.has_value()) {
      return unsupported(
          "rope_freqs.weight follows no rule that config.json could name: it is neither a linear "
          "scaling nor Llama 3's; keep this model in GGUF");
    }
    config.rope_scaling = *scaling;
  }
  RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind != RopeScaling::Kind::kLongRope) return absl::OkStatus();
  for (const auto& [name, factors] :
       {std::pair{"rope_factors_short.weight", &scaling.short_factors},
        std::pair{"rope_factors_long.weight", &scaling.long_factors}}) {
    const Tensor* tensor = source.find(name);
    if (tensor != nullptr && factors->empty()) {
      BRISK_ASSIGN_OR_RETURN(*factors, floats_of(*tensor, name));
    }
    if (static_cast<int64_t>(factors->size()) != config.rotary_dim / 2) {
      return invalid_input("{}: expected {} values", name, config.rotary_dim / 2);
    }
  }
  // What every reader computes itself is not said.
  const double usual = longrope_magnitude(config.context_length, scaling.original_context_length);
  if (std::abs(scaling.attention_factor - usual) <= 1e-6 * usual) scaling.attention_factor = 0;
  return absl::OkStatus();
}

// What GGUF has no key for must be what its readers assume.
absl::Status check_gguf_can_say(const Conversion& conversion) {
  const auto& layers = conversion.spec.layers;
  const bool gemma = conversion.config.architecture.starts_with("gemma");
  const bool mixed = std::any_of(layers.begin(), layers.end(), [&](const LayerSpec& layer) {
    return layer.sliding_window != layers.front().sliding_window;
  });
  if (mixed && !gemma) {
    return unsupported(
        "GGUF cannot say which layers of this model have a sliding window; convert to a Hugging "
        "Face directory instead");
  }
  const bool partly_routed = std::any_of(layers.begin(), layers.end(), [&](const LayerSpec& layer) {
    return layer.routed != layers.front().routed;
  });
  if (partly_routed) {
    return unsupported(
        "GGUF cannot say which layers of this model have experts; convert to a Hugging Face "
        "directory instead");
  }
  return absl::OkStatus();
}

// Sizes that the source left to the tensors, and names for people.
void complete(const Conversion& conversion, ModelConfig& config) {
  const ModelSpec& spec = conversion.spec;
  config.vocab_size = spec.vocab_size;
  config.kv_heads = spec.kv_heads;
  config.head_dim = spec.head_dim;
  if (config.norm_eps == 0) config.norm_eps = static_cast<double>(spec.norm_eps);
  config.context_length = spec.context_length;
  if (config.rope_theta == 0) config.rope_theta = 10000;
  if (config.rotary_dim == 0) config.rotary_dim = config.head_dim;
  if (config.experts > 0) {
    config.expert_ffn_size = spec.moe.ffn_size;
    config.normalize_expert_weights = spec.moe.normalize_weights;
  }
  RopeScaling& scaling = config.rope_scaling;
  if (scaling.original_context_length == 0) scaling.original_context_length = config.context_length;
  if (scaling.kind == RopeScaling::Kind::kLongRope) {
    scaling.attention_factor = static_cast<double>(spec.ropes.front().magnitude);
  }
  config.tied_embeddings = conversion.source->find(conversion.source_names.head) == nullptr;
}

}  // namespace

absl::StatusOr<Conversion> plan_conversion(const Checkpoint& source, Layout target) {
  Conversion conversion;
  conversion.source = &source;
  BRISK_ASSIGN_OR_RETURN(const Architecture* from, find_architecture(source.config));
  conversion.source_names = from->names(source.config.layout);
  BRISK_ASSIGN_OR_RETURN(conversion.spec, from->spec(source, 0));
  const Tensor* embedding = source.find(conversion.source_names.embedding);
  const bool has_rows = embedding != nullptr && embedding->shape.size() == 2;
  conversion.spec.vocab_size =
      static_cast<int>(has_rows ? embedding->shape[0] : source.config.vocab_size);
  for (const NamedTensor& named : source.tensors) {
    if (!named.tensor.is_packed()) continue;
    return invalid_input(
        "the model is compiled (its weights are packed); convert the file it was "
        "compiled from");
  }
  // Every tensor is there and has its shape: what follows need not check.
  BRISK_RETURN_IF_ERROR(bind_weights(source, conversion.source_names, conversion.spec).status());

  ModelConfig& config = conversion.config;
  config = source.config;
  complete(conversion, config);
  config.layout = target;
  config.architecture =
      is_hugging_face(target) ? hugging_face_name(*from, config) : gguf_name(*from);
  if (config.architecture.empty()) {
    return unsupported("{} models have no name in the {} layout", from->name,
                       is_hugging_face(target) ? "Hugging Face" : "GGUF");
  }
  BRISK_ASSIGN_OR_RETURN(const Architecture* to, find_architecture(config));
  conversion.names = to->names(target);
  conversion.interleaved = interleaves(*to, target);
  conversion.rows_move = conversion.interleaved != interleaves(*from, source.config.layout);
  if (conversion.rows_move && config.rotary_dim != config.head_dim) {
    return unsupported("heads that rotate only in part cannot be reordered for this layout");
  }
  if (is_hugging_face(target) != is_hugging_face(source.config.layout) && is_gemma(*from)) {
    conversion.norm_shift = is_hugging_face(target) ? -1.0f : 1.0f;
  }
  if (is_hugging_face(target)) {
    BRISK_RETURN_IF_ERROR(read_rope_tensors(source, config));
  } else {
    BRISK_RETURN_IF_ERROR(check_gguf_can_say(conversion));
  }
  return conversion;
}

}  // namespace brisk
