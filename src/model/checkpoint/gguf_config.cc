// ModelConfig from `<architecture>.*` keys.
#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>

#include "base/status.h"
#include "model/checkpoint/gguf_model.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

// Reads keys of one architecture; the first error sticks, so that callers check once at the end.
class Keys {
 public:
  Keys(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  // A count or size. Some files give one number a layer; brisk wants them all equal.
  void size(std::string_view key, int64_t& out) {
    const std::string full = name_of(key);
    const GgufValue* value = file_.find(full);
    if (value == nullptr || !status_.ok()) return;
    if (const GgufArray* array = std::get_if<GgufArray>(value)) {
      if (array->count == 0 || array->type == GgufType::kString ||
          array->type == GgufType::kArray) {
        return fail(invalid_input("metadata key \"{}\" should hold integers", full));
      }
      for (uint64_t i = 1; i < array->count; ++i) {
        if (array->number(i) != array->number(0)) {
          return fail(unsupported("metadata key \"{}\" differs from layer to layer", full));
        }
      }
      return store(full, array->number(0), out);
    }
    const auto number = file_.integer(full);
    if (!number.ok()) return fail(number.status());
    store(full, static_cast<double>(**number), out);
  }

  void number(std::string_view key, double& out) {
    if (!status_.ok()) return;
    const auto value = file_.number(name_of(key));
    if (!value.ok()) return fail(value.status());
    if (value->has_value()) out = **value;
  }

  void boolean(std::string_view key, std::optional<bool>& out) {
    if (!status_.ok()) return;
    const auto value = file_.boolean(name_of(key));
    if (!value.ok()) return fail(value.status());
    if (value->has_value()) out = *value;
  }

  void text(std::string_view key, std::string& out) {
    if (!status_.ok()) return;
    const auto value = file_.string(name_of(key));
    if (!value.ok()) return fail(value.status());
    if (value->has_value()) out = **value;
  }

  const GgufArray* array(std::string_view key) {
    const GgufValue* value = file_.find(name_of(key));
    return value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  }

  void fail(absl::Status status) { status_.Update(std::move(status)); }
  const absl::Status& status() const { return status_; }

 private:
  std::string name_of(std::string_view key) const {
    return fmt::format("{}.{}", architecture_, key);
  }

  void store(const std::string& full, double value, int64_t& out) {
    if (!(value >= 0 && value <= std::numeric_limits<int32_t>::max())) {
      return fail(invalid_input("metadata key \"{}\" has the impossible value {}", full, value));
    }
    out = static_cast<int64_t>(value);
  }

  const GgufFile& file_;
  const std::string architecture_;
  absl::Status status_;
};

const GgufTensor* find_tensor(const GgufFile& file, std::string_view name) {
  for (const GgufTensor& tensor : file.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

void read_attention(Keys& keys, ModelConfig& config) {
  keys.size("attention.head_count", config.heads);
  config.kv_heads = config.heads;
  keys.size("attention.head_count_kv", config.kv_heads);
  keys.size("attention.key_length", config.head_dim);
  int64_t value_length = 0;
  keys.size("attention.value_length", value_length);
  if (value_length != 0 && config.head_dim != 0 && value_length != config.head_dim) {
    keys.fail(unsupported("keys of {} and values of {} dimensions a head", config.head_dim,
                          value_length));
  }
  if (config.head_dim == 0 && config.heads > 0) config.head_dim = config.hidden_size / config.heads;
  keys.number("attention.scale", config.attention_scale);
  keys.number("attn_logit_softcapping", config.attention_softcap);
  keys.number("final_logit_softcapping", config.final_softcap);
  keys.number("attention.layer_norm_epsilon", config.norm_eps);
  keys.number("attention.layer_norm_rms_epsilon", config.norm_eps);
  keys.number("final_norm_epsilon", config.norm_eps);

  keys.size("attention.sliding_window", config.sliding_window);
  const GgufArray* pattern = keys.array("attention.sliding_window_pattern");
  if (pattern == nullptr) {
    keys.size("attention.sliding_window_pattern", config.sliding_window_pattern);
  } else if (pattern->type == GgufType::kBool) {
    for (uint64_t i = 0; i < pattern->count; ++i) {
      config.layer_is_sliding.push_back(pattern->number(i) != 0);
    }
  }
}

// llama3's scaling lies in the tensor rope_freqs.weight, longrope's factors in rope_factors_*.
void read_rope(const GgufFile& file, Keys& keys, ModelConfig& config) {
  keys.number("rope.freq_base", config.rope_theta);
  keys.number("rope.freq_base_swa", config.rope_theta_local);
  keys.size("rope.dimension_count", config.rotary_dim);
  RopeScaling& scaling = config.rope_scaling;
  std::string type;
  keys.text("rope.scaling.type", type);
  double factor = 0;
  keys.number("rope.scale_linear", factor);
  keys.number("rope.scaling.factor", factor);
  keys.size("rope.scaling.original_context_length", scaling.original_context_length);
  keys.number("rope.scaling.attn_factor", scaling.attention_factor);
  if (find_tensor(file, "rope_factors_long.weight") != nullptr) type = "longrope";
  if (type == "longrope") {
    scaling.kind = RopeScaling::Kind::kLongRope;
  } else if (type == "yarn") {
    scaling.kind = RopeScaling::Kind::kYarn;
  } else if (type == "linear" || (type.empty() && factor > 1)) {
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (!type.empty() && type != "none") {
    keys.fail(unsupported("rope scaling \"{}\"", type));
  }
  if (factor > 0) scaling.factor = factor;
}

void read_experts(Keys& keys, ModelConfig& config) {
  keys.size("expert_count", config.experts);
  keys.size("expert_used_count", config.experts_per_token);
  keys.size("expert_feed_forward_length", config.expert_ffn_size);
  keys.size("expert_shared_feed_forward_length", config.shared_expert_ffn_size);
  keys.boolean("expert_weights_norm", config.normalize_expert_weights);
}

}  // namespace

absl::Status read_gguf_config(const GgufFile& file, ModelConfig& config) {
  config.layout = Layout::kGguf;
  BRISK_ASSIGN_OR_RETURN(const auto architecture, file.string("general.architecture"));
  if (!architecture.has_value() || architecture->empty()) {
    return invalid_input("general.architecture is missing: this is not a language model");
  }
  config.architecture = *architecture;
  BRISK_ASSIGN_OR_RETURN(const auto name, file.string("general.name"));
  config.name = name.value_or("");

  Keys keys(file, config.architecture);
  keys.size("vocab_size", config.vocab_size);
  keys.size("context_length", config.context_length);
  keys.size("embedding_length", config.hidden_size);
  keys.size("block_count", config.layers);
  keys.size("feed_forward_length", config.ffn_size);
  read_attention(keys, config);
  read_rope(file, keys, config);
  read_experts(keys, config);
  BRISK_RETURN_IF_ERROR(keys.status());

  // The embedding table is the authority on its own size; the key may be missing or padded.
  if (const GgufTensor* table = find_tensor(file, "token_embd.weight"); table != nullptr) {
    if (table->shape.size() != 2) {
      return invalid_input("tensor \"token_embd.weight\" of shape {} is not a table",
                           shape_text(table->shape));
    }
    if (table->shape[0] > std::numeric_limits<int32_t>::max()) {
      return invalid_input("a vocabulary of {} tokens is impossible", table->shape[0]);
    }
    config.vocab_size = table->shape[0];
  }
  config.attention_bias = find_tensor(file, "blk.0.attn_q.bias") != nullptr;
  return absl::OkStatus();
}

}  // namespace brisk
