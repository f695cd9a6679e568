#include "model/arch/common.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

constexpr int64_t kContextMax = 1 << 30;

struct Bound {
  const char* name;
  int64_t value;
  int64_t max;
};

// Limits far above any published model; they keep products of sizes within 64 bits.
absl::Status check_bounds(const ModelConfig& c) {
  const Bound bounds[] = {
      {"hidden size", c.hidden_size, 1 << 18},
      {"layer count", c.layers, 4096},
      {"head count", c.heads, 4096},
      {"key/value head count", c.kv_heads, 4096},
      {"head size", c.head_dim, 4096},
      {"feed-forward size", c.ffn_size, 1 << 22},
      {"context length", c.context_length, kContextMax},
  };
  for (const Bound& bound : bounds) {
    if (bound.value < 1 || bound.value > bound.max) {
      return invalid_input("the model's {} is {}, expected 1 to {}", bound.name, bound.value,
                           bound.max);
    }
  }
  if (c.heads % c.kv_heads != 0) {
    return invalid_input("{} heads cannot share {} key/value heads evenly", c.heads, c.kv_heads);
  }
  if (c.experts < 0 || c.experts > 4096 || c.experts_per_token < 0 ||
      c.experts_per_token > c.experts) {
    return invalid_input("{} experts of {} per token make no sense", c.experts_per_token,
                         c.experts);
  }
  if (!(c.norm_eps >= 0 && c.norm_eps < 1)) {
    return invalid_input("the norm's epsilon is {}, expected 0 to 1", c.norm_eps);
  }
  return absl::OkStatus();
}

// What a checkpoint may leave unsaid.
ModelConfig with_defaults(const Checkpoint& checkpoint) {
  ModelConfig c = checkpoint.config;
  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.head_dim == 0 && c.heads > 0) c.head_dim = c.hidden_size / c.heads;
  if (c.rotary_dim == 0) c.rotary_dim = c.head_dim;
  if (c.rope_theta == 0) c.rope_theta = 10000;
  if (c.norm_eps == 0) c.norm_eps = 1e-5;
  if (c.context_length == 0) c.context_length = 2048;
  if (c.rope_scaling.original_context_length == 0) {
    c.rope_scaling.original_context_length = c.context_length;
  }
  if (c.ffn_size == 0) c.ffn_size = std::max<int64_t>(c.expert_ffn_size, 1);
  return c;
}

absl::StatusOr<Activation> activation_from(const std::string& name) {
  if (name.empty() || name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast") {
    return Activation::kGeluTanh;
  }
  if (name == "relu2") return Activation::kRelu2;
  return unsupported(
      "the activation \"{}\" is not known; known: silu, gelu_pytorch_tanh, gelu_new, "
      "relu2",
      name);
}

// f32 values of a small tensor, or an error that names it.
absl::StatusOr<std::vector<float>> read_factors(const Tensor& tensor, const char* name,
                                                int64_t expected) {
  if (tensor.dtype != DType::kF32 || tensor.values() != expected) {
    return invalid_input("{}: expected {} f32 values", name, expected);
  }
  std::vector<float> values(static_cast<size_t>(expected));
  decode_values(tensor, 0, expected, values.data());
  return values;
}

// Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended.
double llama3_frequency(double frequency, const RopeScaling& s) {
  const double original = static_cast<double>(s.original_context_length);
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < original / s.high_freq_factor) return frequency;
  if (wavelength > original / s.low_freq_factor) return frequency / s.factor;
  const double smooth =
      (original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

// LongRoPE: one divisor per frequency; the long set when the context exceeds the original one.
absl::StatusOr<std::vector<float>> longrope_factors(const Checkpoint& checkpoint,
                                                    const ModelSpec& spec, const RopeScaling& s,
                                                    int64_t half) {
  const bool use_long = spec.context_length > s.original_context_length;
  const std::vector<float>& listed = use_long ? s.long_factors : s.short_factors;
  if (static_cast<int64_t>(listed.size()) == half) return listed;
  const char* name = use_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
  const Tensor* tensor = checkpoint.find(name);
  if (tensor == nullptr) {
    return invalid_input("longrope scaling needs {} {} factors", half, use_long ? "long" : "short");
  }
  return read_factors(*tensor, name, half);
}

}  // namespace

double longrope_magnitude(int64_t context_length, int64_t original_context_length) {
  const auto original = static_cast<double>(original_context_length);
  const double stretch = static_cast<double>(context_length) / original;
  return stretch <= 1 ? 1 : std::sqrt(1 + std::log(stretch) / std::log(original));
}

absl::StatusOr<ModelSpec> common_spec(const Checkpoint& checkpoint, int64_t context_max) {
  const ModelConfig c = with_defaults(checkpoint);
  BRISK_RETURN_IF_ERROR(check_bounds(c));
  if (context_max < 0 || context_max > kContextMax) {
    return invalid_input("a context of {} tokens was asked for, expected 1 to {}", context_max,
                         kContextMax);
  }
  ModelSpec spec;
  spec.hidden_size = static_cast<int>(c.hidden_size);
  spec.ffn_size = static_cast<int>(c.ffn_size);
  spec.heads = static_cast<int>(c.heads);
  spec.kv_heads = static_cast<int>(c.kv_heads);
  spec.head_dim = static_cast<int>(c.head_dim);
  spec.context_length = static_cast<int>(context_max > 0 ? context_max : c.context_length);
  spec.norm_eps = static_cast<float>(c.norm_eps);
  BRISK_ASSIGN_OR_RETURN(spec.activation, activation_from(c.activation));
  spec.attention_scale = static_cast<float>(
      c.attention_scale > 0 ? c.attention_scale : 1 / std::sqrt(static_cast<double>(c.head_dim)));
  spec.layers.resize(static_cast<size_t>(c.layers));
  BRISK_ASSIGN_OR_RETURN(RopeSpec rope,
                         rope_spec(checkpoint, spec, c.rope_theta, c.rope_scaling, c.rotary_dim));
  spec.ropes.push_back(std::move(rope));
  return spec;
}

absl::StatusOr<RopeSpec> rope_spec(const Checkpoint& checkpoint, const ModelSpec& spec,
                                   double theta, const RopeScaling& scaling, int64_t rotary_dim) {
  if (rotary_dim < 2 || rotary_dim > spec.head_dim || rotary_dim % 2 != 0) {
    return invalid_input("rotary size {} does not fit heads of size {}", rotary_dim, spec.head_dim);
  }
  const int64_t half = rotary_dim / 2;
  std::vector<float> divisors;
  RopeSpec rope;
  rope.rotary_dim = static_cast<int>(rotary_dim);
  if (scaling.kind == RopeScaling::Kind::kYarn) {
    return unsupported("rope scaling \"yarn\"; use the model without its long-context extension");
  }
  if (scaling.kind == RopeScaling::Kind::kLongRope) {
    if (scaling.original_context_length < 2) {
      return invalid_input("longrope scaling needs the length of the original context");
    }
    BRISK_ASSIGN_OR_RETURN(divisors, longrope_factors(checkpoint, spec, scaling, half));
    rope.magnitude = static_cast<float>(scaling.attention_factor > 0
                                            ? scaling.attention_factor
                                            : longrope_magnitude(checkpoint.config.context_length,
                                                                 scaling.original_context_length));
  } else if (const Tensor* factors = checkpoint.find("rope_freqs.weight")) {
    BRISK_ASSIGN_OR_RETURN(divisors, read_factors(*factors, "rope_freqs.weight", half));
  }
  for (int64_t i = 0; i < half; ++i) {
    double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim));
    if (!divisors.empty()) {
      frequency /= static_cast<double>(divisors[static_cast<size_t>(i)]);
    } else if (scaling.kind == RopeScaling::Kind::kLinear) {
      frequency /= scaling.factor;
    } else if (scaling.kind == RopeScaling::Kind::kLlama3) {
      frequency = llama3_frequency(frequency, scaling);
    }
    if (!std::isfinite(frequency)) return invalid_input("the rope frequencies are not finite");
    rope.inverse_frequencies.push_back(frequency);
  }
  return rope;
}

void set_sliding_windows(const ModelConfig& config, int64_t pattern, ModelSpec* spec) {
  if (config.sliding_window <= 0) return;
  const int window = static_cast<int>(std::min<int64_t>(config.sliding_window, 1 << 30));
  for (size_t i = 0; i < spec->layers.size(); ++i) {
    bool sliding = pattern == 0 || (static_cast<int64_t>(i) + 1) % pattern != 0;
    if (config.layer_is_sliding.size() == spec->layers.size()) sliding = config.layer_is_sliding[i];
    spec->layers[i].sliding_window = sliding ? window : 0;
  }
}

TensorNames common_names(Layout layout) {
  if (layout == Layout::kHuggingFace) {
    const std::string layer = "model.layers.{}.";
    return {.embedding = "model.embed_tokens.weight",
            .positions = "",
            .final_norm = "model.norm.weight",
            .head = "lm_head.weight",
            .attention_norm = layer + "input_layernorm.weight",
            .q = layer + "self_attn.q_proj.weight",
            .k = layer + "self_attn.k_proj.weight",
            .v = layer + "self_attn.v_proj.weight",
            .qkv = "",
            .o = layer + "self_attn.o_proj.weight",
            .q_norm = "",
            .k_norm = "",
            .post_attention_norm = "",
            .attention_sub_norm = "",
            .ffn_norm = layer + "post_attention_layernorm.weight",
            .gate = layer + "mlp.gate_proj.weight",
            .up = layer + "mlp.up_proj.weight",
            .down = layer + "mlp.down_proj.weight",
            .gate_up = "",
            .ffn_sub_norm = "",
            .post_ffn_norm = "",
            .router = layer + "mlp.gate.weight",
            .expert_gate = layer + "mlp.experts.{}.gate_proj.weight",
            .expert_up = layer + "mlp.experts.{}.up_proj.weight",
            .expert_down = layer + "mlp.experts.{}.down_proj.weight",
            .shared_gate = layer + "mlp.shared_expert.gate_proj.weight",
            .shared_up = layer + "mlp.shared_expert.up_proj.weight",
            .shared_down = layer + "mlp.shared_expert.down_proj.weight",
            .shared_expert_gate = layer + "mlp.shared_expert_gate.weight",
            .scale = "",
            .transposed = false};
  }
  return {.embedding = "token_embd.weight",
          .positions = "",
          .final_norm = "output_norm.weight",
          .head = "output.weight",
          .attention_norm = "blk.{}.attn_norm.weight",
          .q = "blk.{}.attn_q.weight",
          .k = "blk.{}.attn_k.weight",
          .v = "blk.{}.attn_v.weight",
          .qkv = "",
          .o = "blk.{}.attn_output.weight",
          .q_norm = "",
          .k_norm = "",
          .post_attention_norm = "",
          .attention_sub_norm = "",
          .ffn_norm = "blk.{}.ffn_norm.weight",
          .gate = "blk.{}.ffn_gate.weight",
          .up = "blk.{}.ffn_up.weight",
          .down = "blk.{}.ffn_down.weight",
          .gate_up = "",
          .ffn_sub_norm = "",
          .post_ffn_norm = "",
          .router = "blk.{}.ffn_gate_inp.weight",
          .expert_gate = "blk.{}.ffn_gate_exps.weight",
          .expert_up = "blk.{}.ffn_up_exps.weight",
          .expert_down = "blk.{}.ffn_down_exps.weight",
          .shared_gate = "blk.{}.ffn_gate_shexp.weight",
          .shared_up = "blk.{}.ffn_up_shexp.weight",
          .shared_down = "blk.{}.ffn_down_shexp.weight",
          .shared_expert_gate = "blk.{}.ffn_gate_inp_shexp.weight",
          .scale = "",
          .transposed = false};
}

}  // namespace brisk
