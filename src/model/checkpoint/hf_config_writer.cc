#include "model/checkpoint/hf_config_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

namespace brisk {
namespace {

constexpr std::pair<std::string_view, std::string_view> kClasses[] = {
    {"llama", "LlamaForCausalLM"},        {"mistral", "MistralForCausalLM"},
    {"mixtral", "MixtralForCausalLM"},    {"qwen2", "Qwen2ForCausalLM"},
    {"qwen2_moe", "Qwen2MoeForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"},
    {"qwen3_moe", "Qwen3MoeForCausalLM"}, {"phi3", "Phi3ForCausalLM"},
    {"gemma2", "Gemma2ForCausalLM"},      {"gemma3_text", "Gemma3ForCausalLM"},
    {"gpt2", "GPT2LMHeadModel"},          {"bitnet", "BitNetForCausalLM"},
};

std::string_view activation_name(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return "silu";
    case Activation::kGeluTanh:
      return "gelu_pytorch_tanh";
    case Activation::kRelu2:
      return "relu2";
  }
  return "silu";
}

// The shortest decimal that is the same f32: 1e-05 and not 9.999999747378752e-06.
double shortest(double value) {
  return std::strtod(fmt::format("{}", static_cast<float>(value)).c_str(), nullptr);
}

Json shortest(const std::vector<float>& values) {
  Json list = Json::array();
  for (const float value : values) list.push_back(shortest(static_cast<double>(value)));
  return list;
}

void put_gpt2(const ModelConfig& config, Json& json) {
  json["n_embd"] = config.hidden_size;
  json["n_layer"] = config.layers;
  json["n_head"] = config.heads;
  json["n_positions"] = config.context_length;
  json["n_ctx"] = config.context_length;
  json["n_inner"] = config.ffn_size;
  json["layer_norm_epsilon"] = shortest(config.norm_eps);
  json["activation_function"] = "gelu_new";
}

Json rope_scaling(const RopeScaling& scaling) {
  Json json = {{"factor", scaling.factor}};
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      return nullptr;
    case RopeScaling::Kind::kLinear:
      json["rope_type"] = "linear";
      return json;
    case RopeScaling::Kind::kLlama3:
      json["rope_type"] = "llama3";
      json["low_freq_factor"] = scaling.low_freq_factor;
      json["high_freq_factor"] = scaling.high_freq_factor;
      break;
    case RopeScaling::Kind::kLongRope:
      // Early readers take exactly these three.
      json = {{"type", "longrope"},
              {"short_factor", shortest(scaling.short_factors)},
              {"long_factor", shortest(scaling.long_factors)}};
      if (scaling.attention_factor > 0) json["attention_factor"] = scaling.attention_factor;
      return json;
    case RopeScaling::Kind::kYarn:
      json["rope_type"] = "yarn";
      json["beta_fast"] = scaling.beta_fast;
      json["beta_slow"] = scaling.beta_slow;
      break;
  }
  json["original_max_position_embeddings"] = scaling.original_context_length;
  return json;
}

void put_rope(const ModelConfig& config, Json& json) {
  json["rope_theta"] = config.rope_theta;
  json["rope_scaling"] = rope_scaling(config.rope_scaling);
  if (config.rope_scaling.kind == RopeScaling::Kind::kLongRope) {
    json["original_max_position_embeddings"] = config.rope_scaling.original_context_length;
  }
  if (config.rotary_dim != config.head_dim) {
    json["partial_rotary_factor"] =
        static_cast<double>(config.rotary_dim) / static_cast<double>(config.head_dim);
  }
}

void put_windows(const ModelSpec& spec, Json& json) {
  Json types = Json::array();
  int window = 0;
  for (const LayerSpec& layer : spec.layers) {
    types.push_back(layer.sliding_window > 0 ? "sliding_attention" : "full_attention");
    window = std::max(window, layer.sliding_window);
  }
  json["sliding_window"] = window > 0 ? Json(window) : Json(nullptr);
  if (window == 0) return;
  json["layer_types"] = std::move(types);
  json["use_sliding_window"] = true;
}

void put_gemma(const ModelConfig& config, const ModelSpec& spec, Json& json) {
  const auto scale = static_cast<double>(spec.attention_scale);
  json["query_pre_attn_scalar"] = 1 / (scale * scale);
  json["hidden_activation"] = activation_name(spec.activation);
  const auto softcap = [](float cap) { return cap > 0 ? Json(cap) : Json(nullptr); };
  json["attn_logit_softcapping"] = softcap(spec.attention_softcap);
  json["final_logit_softcapping"] = softcap(spec.final_softcap);
  if (config.architecture == "gemma3_text") {
    json["rope_local_base_freq"] = config.rope_theta_local > 0 ? config.rope_theta_local : 10000;
  }
}

void put_experts(const ModelConfig& config, const ModelSpec& spec, Json& json) {
  json["num_experts_per_tok"] = spec.moe.experts_per_token;
  if (config.architecture == "mixtral") {
    json["num_local_experts"] = spec.moe.experts;
    json["intermediate_size"] = spec.moe.ffn_size;
    return;
  }
  json["num_experts"] = spec.moe.experts;
  json["moe_intermediate_size"] = spec.moe.ffn_size;
  json["norm_topk_prob"] = spec.moe.normalize_weights;
  if (spec.moe.shared_ffn_size > 0) {
    json["shared_expert_intermediate_size"] = spec.moe.shared_ffn_size;
  }
  Json dense = Json::array();
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    if (!spec.layers[i].routed) dense.push_back(i);
  }
  json["decoder_sparse_step"] = 1;
  json["mlp_only_layers"] = std::move(dense);
}

// The weights are ternary already, and multiplied with their scales: "offline".
void put_bitnet(const ModelConfig& config, Json& json) {
  json["rms_norm_eps"] = kBitnetNormEps;
  json["final_norm_eps"] = shortest(config.norm_eps);
  json["quantization_config"] = {{"quant_method", "bitnet"},
                                 {"linear_class", "autobitlinear"},
                                 {"quantization_mode", "offline"}};
}

void put_sizes(const ModelConfig& config, const ModelSpec& spec, Json& json) {
  json["hidden_size"] = config.hidden_size;
  json["num_hidden_layers"] = config.layers;
  json["num_attention_heads"] = config.heads;
  json["num_key_value_heads"] = config.kv_heads;
  json["head_dim"] = config.head_dim;
  json["intermediate_size"] = spec.ffn_size;
  json["max_position_embeddings"] = config.context_length;
  json["rms_norm_eps"] = shortest(config.norm_eps);
  json["hidden_act"] = activation_name(spec.activation);
  json["attention_bias"] = config.attention_bias;
}

}  // namespace

std::string_view torch_dtype(DType dtype) {
  if (dtype == DType::kF16) return "float16";
  return dtype == DType::kBF16 ? "bfloat16" : "float32";
}

Json hf_config(const ModelConfig& config, const ModelSpec& spec, DType dtype) {
  Json json = {{"model_type", config.architecture},
               {"vocab_size", spec.vocab_size},
               {"tie_word_embeddings", config.tied_embeddings == true},
               {"torch_dtype", torch_dtype(dtype)}};
  for (const auto& [type, name] : kClasses) {
    if (type == config.architecture) json["architectures"] = {name};
  }
  if (config.bos_token >= 0) json["bos_token_id"] = config.bos_token;
  if (config.eos_tokens.size() == 1) json["eos_token_id"] = config.eos_tokens.front();
  if (config.eos_tokens.size() > 1) json["eos_token_id"] = config.eos_tokens;
  if (config.architecture == "gpt2") {
    put_gpt2(config, json);
    return json;
  }
  put_sizes(config, spec, json);
  put_rope(config, json);
  put_windows(spec, json);
  if (config.architecture.starts_with("gemma")) put_gemma(config, spec, json);
  if (spec.moe.experts > 0) put_experts(config, spec, json);
  if (config.architecture == "bitnet") put_bitnet(config, json);
  return json;
}

}  // namespace brisk
