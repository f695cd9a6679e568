#include "model/lora/peft_config.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kPatternsMax = 4096;
constexpr double kAlphaMax = 1e6;

bool is_said(const OrderedJson& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return false;
  if (found->is_boolean()) return found->get<bool>();
  return !(found->is_array() || found->is_object()) || !found->empty();
}

absl::StatusOr<double> alpha_of(const OrderedJson& json, std::string_view name) {
  const double alpha = json.is_number() ? json.get<double>() : -1;
  if (!(alpha >= 0 && alpha <= kAlphaMax)) {
    return invalid_input("{} should be a number from 0 to {}", name, kAlphaMax);
  }
  return alpha;
}

// What changes the computation, or needs more than the two matrices of a module.
absl::Status refuse_more_than_lora(const OrderedJson& json) {
  const auto type = json.find("peft_type");
  if (type == json.end() || *type != "LORA") {
    return unsupported("peft_type is {}; only LORA adapters can be loaded",
                       type == json.end() ? "missing" : to_text(Json(*type)).substr(0, 40));
  }
  struct Field {
    const char* name;
    const char* what;
  };
  constexpr Field kFields[] = {
      {"use_dora", "DoRA adapters rescale whole weights"},
      {"modules_to_save", "it replaces whole modules"},
      {"lora_bias", "it has biases of its own"},
      {"trainable_token_indices", "it replaces embeddings"},
      {"target_parameters", "it changes stacked experts"},
      {"layer_replication", "it repeats layers"},
      {"use_qalora", "its matrices work on groups of inputs"},
      {"alora_invocation_tokens", "it is active only after certain tokens"},
      {"arrow_config", "it is a mixture of adapters"},
  };
  for (const Field& field : kFields) {
    if (!is_said(json, field.name)) continue;
    return unsupported("{} is set ({}), which brisk does not support; merge the adapter instead",
                       field.name, field.what);
  }
  const auto bias = json.find("bias");
  if (bias != json.end() && *bias != "none") {
    return unsupported("bias is {}; only adapters with bias \"none\" can be loaded",
                       to_text(Json(*bias)).substr(0, 40));
  }
  return absl::OkStatus();
}

// Some initialisations subtract from the weights that they add to.
absl::Status check_initialisation(const OrderedJson& json) {
  const auto found = json.find("init_lora_weights");
  if (found == json.end() || !found->is_string()) return absl::OkStatus();
  for (const char* harmless : {"gaussian", "eva", "orthogonal"}) {
    if (*found == harmless) return absl::OkStatus();
  }
  return unsupported(
      "init_lora_weights is {}: such an adapter may belong to altered base weights; save it with "
      "PEFT's path_initial_model_for_weight_conversion",
      to_text(Json(*found)).substr(0, 40));
}

// PEFT takes the keys for regular expressions. Plain names are what they nearly always are.
bool is_plain(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
}

absl::Status read_alpha_pattern(const OrderedJson& json, PeftConfig* config) {
  if (!is_said(json, "alpha_pattern")) return absl::OkStatus();
  const OrderedJson& patterns = json["alpha_pattern"];
  if (!patterns.is_object() || patterns.size() > kPatternsMax) {
    return invalid_input("alpha_pattern should be an object of at most {} entries", kPatternsMax);
  }
  for (const auto& [key, value] : patterns.items()) {
    if (!is_plain(key)) {
      return unsupported("alpha_pattern has the regular expression \"{}\"; only names are read",
                         key.substr(0, 100));
    }
    BRISK_ASSIGN_OR_RETURN(const double alpha, alpha_of(value, "alpha_pattern"));
    config->alpha_pattern.emplace_back(key, alpha);
  }
  return absl::OkStatus();
}

}  // namespace

double PeftConfig::scale_of(std::string_view module, int64_t rank_found) const {
  double alpha_here = alpha;
  for (const auto& [name, own] : alpha_pattern) {
    const bool ends = module.ends_with(name) && (module.size() == name.size() ||
                                                 module[module.size() - name.size() - 1] == '.');
    if (!ends) continue;
    alpha_here = own;
    break;
  }
  const auto divisor = static_cast<double>(rank_found);
  return alpha_here / (rank_stabilized ? std::sqrt(divisor) : divisor);
}

absl::StatusOr<PeftConfig> read_peft_config(const OrderedJson& json) {
  if (!json.is_object()) return invalid_input("it should hold an object");
  BRISK_RETURN_IF_ERROR(refuse_more_than_lora(json));
  BRISK_RETURN_IF_ERROR(check_initialisation(json));
  PeftConfig config;
  const auto rank = json.find("r");
  if (rank == json.end() || !rank->is_number_unsigned() || rank->get<uint64_t>() > 1 << 20 ||
      rank->get<uint64_t>() < 1) {
    return invalid_input("r should be a whole number from 1 on");
  }
  config.rank = rank->get<int64_t>();
  const auto alpha = json.find("lora_alpha");
  BRISK_ASSIGN_OR_RETURN(config.alpha,
                         alpha_of(alpha == json.end() ? OrderedJson() : *alpha, "lora_alpha"));
  const auto stabilized = json.find("use_rslora");
  if (stabilized != json.end() && !stabilized->is_boolean() && !stabilized->is_null()) {
    return invalid_input("use_rslora should be true or false");
  }
  config.rank_stabilized = is_said(json, "use_rslora");
  config.has_rank_pattern = is_said(json, "rank_pattern");
  BRISK_RETURN_IF_ERROR(read_alpha_pattern(json, &config));
  return config;
}

}  // namespace brisk
