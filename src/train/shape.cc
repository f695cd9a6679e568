#include "train/shape.h"

#include <utility>

#include "base/status.h"

namespace brisk::train {

int64_t DecoderShape::parameters() const {
  const int64_t attention = dim * head_dim * (2 * heads + 2 * kv_heads);
  const int64_t layer = attention + 3 * dim * ffn + 2 * dim;
  return vocab * dim * (tied ? 1 : 2) + layers * layer + dim;
}

double DecoderShape::operations_per_token() const {
  const int64_t attention = dim * head_dim * (2 * heads + 2 * kv_heads);
  const int64_t scores = 2 * context * heads * head_dim;
  return 2 * static_cast<double>(layers * (attention + scores + 3 * dim * ffn) + vocab * dim);
}

absl::Status complete(DecoderShape& shape) {
  constexpr int64_t kSizeMax = 1 << 20;
  const std::pair<const char*, int64_t> sizes[] = {
      {"--dim", shape.dim},           {"--layers", shape.layers}, {"--heads", shape.heads},
      {"--kv-heads", shape.kv_heads}, {"--ffn", shape.ffn},       {"--context", shape.context}};
  for (const auto& [flag, size] : sizes) {
    if (size < 1 || size > kSizeMax) {
      return invalid_input("{} is {}: it must be between 1 and {}", flag, size, kSizeMax);
    }
  }
  if (shape.heads % shape.kv_heads != 0) {
    return invalid_input("--heads {} is not a multiple of --kv-heads {}", shape.heads,
                         shape.kv_heads);
  }
  if (shape.head_dim == 0) {
    if (shape.dim % shape.heads != 0) {
      return invalid_input("--dim {} is not a multiple of --heads {}; or give --head-dim",
                           shape.dim, shape.heads);
    }
    shape.head_dim = shape.dim / shape.heads;
  }
  if (shape.head_dim < 2 || shape.head_dim % 2 != 0) {
    return invalid_input("heads of {} dimensions cannot rotate: the number must be even",
                         shape.head_dim);
  }
  return absl::OkStatus();
}

Json to_json(const DecoderShape& shape) {
  return {
      {"vocab", shape.vocab},       {"dim", shape.dim},           {"layers", shape.layers},
      {"heads", shape.heads},       {"kv_heads", shape.kv_heads}, {"head_dim", shape.head_dim},
      {"ffn", shape.ffn},           {"context", shape.context},   {"rope_theta", shape.rope_theta},
      {"norm_eps", shape.norm_eps}, {"tied", shape.tied}};
}

absl::StatusOr<DecoderShape> shape_from_json(const Json& json) {
  DecoderShape shape;
  try {
    shape.vocab = json.at("vocab");
    shape.dim = json.at("dim");
    shape.layers = json.at("layers");
    shape.heads = json.at("heads");
    shape.kv_heads = json.at("kv_heads");
    shape.head_dim = json.at("head_dim");
    shape.ffn = json.at("ffn");
    shape.context = json.at("context");
    shape.rope_theta = json.at("rope_theta");
    shape.norm_eps = json.at("norm_eps");
    shape.tied = json.at("tied");
  } catch (const Json::exception& error) {
    return invalid_input("the model's sizes cannot be read: {}", error.what());
  }
  return shape;
}

ModelConfig config_of(const DecoderShape& shape) {
  ModelConfig config;
  config.layout = Layout::kHuggingFace;
  config.architecture = "llama";
  config.vocab_size = shape.vocab;
  config.hidden_size = shape.dim;
  config.layers = shape.layers;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.ffn_size = shape.ffn;
  config.context_length = shape.context;
  config.norm_eps = shape.norm_eps;
  config.activation = "silu";
  config.tied_embeddings = shape.tied;
  config.rope_theta = shape.rope_theta;
  config.rotary_dim = shape.head_dim;
  return config;
}

absl::StatusOr<DecoderShape> shape_of(const ModelConfig& config, const ModelSpec& spec, bool tied) {
  if (spec.architecture != "llama" || config.layout != Layout::kHuggingFace ||
      config.rope_scaling.kind != RopeScaling::Kind::kNone || config.attention_bias ||
      config.sliding_window > 0 || config.experts > 0) {
    return unsupported(
        "brisk-train starts from plain llamas in a Hugging Face directory (RMSNorm, unscaled "
        "rotation, dense SwiGLU, no biases); `brisk convert MODEL.gguf DIRECTORY` makes one of a "
        "GGUF file");
  }
  DecoderShape shape;
  shape.vocab = spec.vocab_size;
  shape.dim = spec.hidden_size;
  shape.layers = static_cast<int64_t>(spec.layers.size());
  shape.heads = spec.heads;
  shape.kv_heads = spec.kv_heads;
  shape.head_dim = spec.head_dim;
  shape.ffn = spec.ffn_size;
  shape.context = spec.context_length;
  shape.rope_theta = config.rope_theta > 0 ? config.rope_theta : 10000;
  shape.norm_eps = static_cast<double>(spec.norm_eps);
  shape.tied = tied;
  return shape;
}

}  // namespace brisk::train
