#include "model/checkpoint/hf_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "base/status.h"

namespace brisk {
namespace {

// Reads keys of one JSON object; the first error sticks, so that callers check once at the end.
// A null value means the same as none.
class Keys {
 public:
  Keys(const Json& object, absl::Status& status) : object_(object), status_(status) {}

  const Json* find(std::string_view key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  void size(std::string_view key, int64_t& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    const double number = value->is_number() ? value->get<double>() : -1;
    if (!(number >= 0 && number <= std::numeric_limits<int32_t>::max()) ||
        number != std::floor(number)) {
      return fail(key, "a count");
    }
    out = static_cast<int64_t>(number);
  }

  void number(std::string_view key, double& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number()) return fail(key, "a number");
    out = value->get<double>();
  }

  void number(std::string_view key, std::optional<double>& out) {
    if (find(key) == nullptr) return;
    double value = 0;
    number(key, value);
    out = value;
  }

  void boolean(std::string_view key, std::optional<bool>& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(key, "true or false");
    out = value->get<bool>();
  }

  void text(std::string_view key, std::string& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_string()) return fail(key, "a string");
    out = value->get<std::string>();
  }

  void sizes(std::string_view key, std::vector<int64_t>& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > kListMax) return fail(key, "a list");
    for (const Json& element : *value) {
      if (!element.is_number_unsigned() || element.get<uint64_t>() > kListMax) {
        return fail(key, "a list of layers");
      }
      out.push_back(element.get<int64_t>());
    }
  }

  void numbers(std::string_view key, std::vector<float>& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > kListMax) return fail(key, "a list");
    for (const Json& element : *value) {
      if (!element.is_number()) return fail(key, "a list of numbers");
      out.push_back(element.get<float>());
    }
  }

  // One token or a list of them, added to `out` where they are new.
  void tokens(std::string_view key, std::vector<int32_t>& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    const Json list = value->is_array() ? *value : Json::array({*value});
    for (const Json& element : list) {
      if (!element.is_number_integer() || list.size() > kListMax) return fail(key, "tokens");
      const int64_t token = element.get<int64_t>();
      if (token < 0 || token > std::numeric_limits<int32_t>::max()) continue;  // -1: none
      const auto id = static_cast<int32_t>(token);
      if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
    }
  }

  Keys object(std::string_view key) {
    static const Json kEmpty = Json::object();
    const Json* value = find(key);
    if (value == nullptr) return {kEmpty, status_};
    if (!value->is_object()) {
      fail(key, "an object");
      return {kEmpty, status_};
    }
    return {*value, status_};
  }

  void fail(absl::Status status) { status_.Update(std::move(status)); }

 private:
  static constexpr size_t kListMax = 1 << 16;

  void fail(std::string_view key, std::string_view wanted) {
    fail(invalid_input("\"{}\" should be {}, not {}", key, wanted,
                       to_text(object_[std::string(key)]).substr(0, 80)));
  }

  const Json& object_;
  absl::Status& status_;
};

void read_sizes(Keys& keys, ModelConfig& config) {
  keys.size("vocab_size", config.vocab_size);
  keys.size("hidden_size", config.hidden_size);
  keys.size("num_hidden_layers", config.layers);
  keys.size("num_attention_heads", config.heads);
  keys.size("num_key_value_heads", config.kv_heads);
  if (config.kv_heads == 0) config.kv_heads = config.heads;  // as many as heads
  keys.size("head_dim", config.head_dim);
  keys.size("intermediate_size", config.ffn_size);
  keys.size("max_position_embeddings", config.context_length);
  keys.number("rms_norm_eps", config.norm_eps);
  keys.number("final_norm_eps", config.norm_eps);
  keys.text("hidden_act", config.activation);
  keys.text("hidden_activation", config.activation);
  keys.boolean("tie_word_embeddings", config.tied_embeddings);
  std::optional<bool> bias;
  keys.boolean("attention_bias", bias);
  config.attention_bias = bias.value_or(config.attention_bias);
}

void read_gpt2_sizes(Keys& keys, ModelConfig& config) {
  keys.size("n_embd", config.hidden_size);
  keys.size("n_layer", config.layers);
  keys.size("n_head", config.heads);
  config.ffn_size = 4 * config.hidden_size;
  keys.size("n_inner", config.ffn_size);
  keys.size("n_positions", config.context_length);
  keys.number("layer_norm_epsilon", config.norm_eps);
  keys.text("activation_function", config.activation);
  config.attention_bias = true;
}

// What Gemma 3's configuration leaves out when it has the value of the 4B model (its class's
// defaults in transformers).
void set_gemma3_defaults(ModelConfig& config) {
  config.vocab_size = 262208;
  config.heads = 8;
  config.kv_heads = 4;
  config.head_dim = 256;
  config.context_length = 131072;
  config.norm_eps = 1e-6;
  config.activation = "gelu_pytorch_tanh";
  config.rope_theta = 1e6;
  config.rope_theta_local = 1e4;
  config.attention_scale = 1.0 / 16;
  config.sliding_window = 4096;
  config.sliding_window_pattern = 6;
}

void read_rope_scaling(Keys keys, ModelConfig& config) {
  RopeScaling& scaling = config.rope_scaling;
  std::string type;
  keys.text("type", type);
  keys.text("rope_type", type);
  keys.number("rope_theta", config.rope_theta);
  keys.number("factor", scaling.factor);
  keys.number("low_freq_factor", scaling.low_freq_factor);
  keys.number("high_freq_factor", scaling.high_freq_factor);
  keys.size("original_max_position_embeddings", scaling.original_context_length);
  keys.numbers("short_factor", scaling.short_factors);
  keys.numbers("long_factor", scaling.long_factors);
  keys.number("attention_factor", scaling.attention_factor);
  keys.number("beta_fast", scaling.beta_fast);
  keys.number("beta_slow", scaling.beta_slow);
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
  } else if (type == "longrope" || type == "su") {
    scaling.kind = RopeScaling::Kind::kLongRope;
  } else if (type == "yarn") {
    scaling.kind = RopeScaling::Kind::kYarn;
  } else if (!type.empty() && type != "default") {
    keys.fail(unsupported("rope scaling \"{}\"", type));
  }
}

void read_rope(Keys& keys, ModelConfig& config) {
  keys.number("rope_theta", config.rope_theta);
  keys.number("rope_local_base_freq", config.rope_theta_local);
  read_rope_scaling(keys.object("rope_scaling"), config);
  // The newer spelling; Gemma 3 has one object for each kind of layer.
  Keys parameters = keys.object("rope_parameters");
  if (parameters.find("full_attention") != nullptr) {
    read_rope_scaling(parameters.object("full_attention"), config);
    parameters.object("sliding_attention").number("rope_theta", config.rope_theta_local);
  } else {
    read_rope_scaling(parameters, config);
  }
  // phi3 has it beside the scaling; longrope then stretches from there to the context.
  RopeScaling& scaling = config.rope_scaling;
  keys.size("original_max_position_embeddings", scaling.original_context_length);
  if (scaling.kind == RopeScaling::Kind::kLongRope && scaling.factor == 1 &&
      scaling.original_context_length > 0) {
    scaling.factor = static_cast<double>(config.context_length) /
                     static_cast<double>(scaling.original_context_length);
  }
  double rotary_share = 1;
  keys.number("partial_rotary_factor", rotary_share);
  if (!(rotary_share > 0 && rotary_share <= 1)) {
    keys.fail(invalid_input("partial_rotary_factor is {}", rotary_share));
    return;
  }
  config.rotary_dim =
      static_cast<int64_t>(std::lround(static_cast<double>(config.head_dim) * rotary_share));
}

void read_attention(Keys& keys, ModelConfig& config) {
  keys.size("sliding_window", config.sliding_window);
  keys.size("_sliding_window_pattern", config.sliding_window_pattern);
  keys.size("sliding_window_pattern", config.sliding_window_pattern);
  std::optional<bool> use_window;
  keys.boolean("use_sliding_window", use_window);
  if (use_window == false) config.sliding_window = 0;
  if (const Json* types = keys.find("layer_types"); types != nullptr && types->is_array()) {
    for (const Json& type : *types) config.layer_is_sliding.push_back(type == "sliding_attention");
  } else if (use_window == true) {
    // qwen2: the layers from max_window_layers on.
    int64_t first = config.layers;
    keys.size("max_window_layers", first);
    for (int64_t layer = 0; layer < std::min<int64_t>(config.layers, 1 << 16); ++layer) {
      config.layer_is_sliding.push_back(layer >= first);
    }
  }
  double query_scalar = 0;
  keys.number("query_pre_attn_scalar", query_scalar);
  if (query_scalar > 0) config.attention_scale = 1 / std::sqrt(query_scalar);
  keys.number("attn_logit_softcapping", config.attention_softcap);
  keys.number("final_logit_softcapping", config.final_softcap);
}

void read_experts(Keys& keys, ModelConfig& config) {
  keys.size("num_local_experts", config.experts);
  keys.size("num_experts", config.experts);
  if (config.experts == 0) return;
  keys.size("num_experts_per_tok", config.experts_per_token);
  config.expert_ffn_size = config.ffn_size;
  keys.size("moe_intermediate_size", config.expert_ffn_size);
  keys.size("shared_expert_intermediate_size", config.shared_expert_ffn_size);
  if (config.architecture == "mixtral") config.normalize_expert_weights = true;
  keys.boolean("norm_topk_prob", config.normalize_expert_weights);
  keys.size("decoder_sparse_step", config.sparse_step);
  keys.sizes("mlp_only_layers", config.dense_layers);
}

void read_tokens(Keys& keys, ModelConfig& config) {
  std::vector<int32_t> bos;
  keys.tokens("bos_token_id", bos);
  if (!bos.empty()) config.bos_token = bos.front();
  keys.tokens("eos_token_id", config.eos_tokens);
}

}  // namespace

absl::StatusOr<ModelConfig> read_hf_config(const Json& json) {
  if (!json.is_object()) return invalid_input("config.json is not an object");
  absl::Status status;
  Keys outer(json, status);
  ModelConfig config;
  config.layout = Layout::kHuggingFace;
  outer.text("model_type", config.architecture);
  if (status.ok() && config.architecture.empty()) {
    return invalid_input("config.json has no \"model_type\"");
  }
  outer.text("_name_or_path", config.name);
  read_tokens(outer, config);
  outer.boolean("tie_word_embeddings", config.tied_embeddings);
  Keys keys = outer.find("text_config") != nullptr ? outer.object("text_config") : outer;
  keys.text("model_type", config.architecture);
  if (config.architecture == "gemma3_text" || config.architecture == "gemma3") {
    set_gemma3_defaults(config);
  }
  if (config.architecture == "gpt2") read_gpt2_sizes(keys, config);
  read_sizes(keys, config);
  if (config.head_dim == 0 && config.heads > 0) config.head_dim = config.hidden_size / config.heads;
  read_rope(keys, config);
  read_attention(keys, config);
  read_experts(keys, config);
  read_tokens(keys, config);
  if (!status.ok()) return annotate(status, "config.json");
  return config;
}

absl::StatusOr<GenerationDefaults> read_generation_config(const Json& json, ModelConfig& config) {
  if (!json.is_object()) return invalid_input("generation_config.json is not an object");
  absl::Status status;
  Keys keys(json, status);
  GenerationDefaults defaults;
  keys.number("temperature", defaults.temperature);
  keys.number("top_p", defaults.top_p);
  keys.number("min_p", defaults.min_p);
  keys.number("repetition_penalty", defaults.repetition_penalty);
  if (keys.find("top_k") != nullptr) {
    int64_t top_k = 0;
    keys.size("top_k", top_k);
    defaults.top_k = static_cast<int>(top_k);
  }
  read_tokens(keys, config);
  if (!status.ok()) return annotate(status, "generation_config.json");
  return defaults;
}

}  // namespace brisk
