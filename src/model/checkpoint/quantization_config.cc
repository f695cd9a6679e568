#include "model/checkpoint/quantization_config.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

using Method = QuantizationConfig::Method;

constexpr size_t kGroupsMax = 1024;

constexpr std::string_view kReadable =
    "brisk reads gptq, awq, compressed-tensors (pack-quantized, int-quantized, float-quantized) "
    "and "
    "fp8; convert the original model instead";

// A key of an object; null when it is not there, or null.
const Json* find(const Json& object, std::string_view key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<std::string> text_of(const Json& object, std::string_view key,
                                    std::string_view otherwise) {
  const Json* value = find(object, key);
  if (value == nullptr) return std::string(otherwise);
  if (!value->is_string()) {
    return invalid_input("\"{}\" should be a string, not {}", key, to_text(*value).substr(0, 80));
  }
  return value->get<std::string>();
}

absl::StatusOr<int64_t> whole(const Json& object, std::string_view key, int64_t otherwise) {
  const Json* value = find(object, key);
  if (value == nullptr) return otherwise;
  if (!value->is_number_integer() || value->get<int64_t>() < -1 ||
      value->get<int64_t>() > std::numeric_limits<int32_t>::max()) {
    return invalid_input("\"{}\" should be a count or -1, not {}", key,
                         to_text(*value).substr(0, 80));
  }
  return value->get<int64_t>();
}

absl::StatusOr<int> bits_of(const Json& object, std::string_view key,
                            std::initializer_list<int> readable) {
  BRISK_ASSIGN_OR_RETURN(const int64_t bits, whole(object, key, 0));
  for (const int known : readable) {
    if (bits == known) return known;
  }
  if (bits <= 0) return invalid_input("there is no \"{}\"", key);
  return unsupported("weights of {} bits; {}", bits, kReadable);
}

// Inputs that share a scale; 0 for -1 and none: whole rows.
absl::StatusOr<int64_t> group_of(const Json& object, std::string_view key) {
  BRISK_ASSIGN_OR_RETURN(const int64_t group, whole(object, key, -1));
  if (group == 0) return invalid_input("\"{}\" is 0", key);
  return std::max<int64_t>(group, 0);
}

absl::StatusOr<QuantizationConfig> read_gptq(const Json& json) {
  QuantizationConfig config = {.method = Method::kGptq};
  WeightScheme scheme;
  BRISK_ASSIGN_OR_RETURN(scheme.bits, bits_of(json, "bits", {2, 3, 4, 8}));
  BRISK_ASSIGN_OR_RETURN(scheme.group_inputs, group_of(json, "group_size"));
  config.schemes.push_back(scheme);
  BRISK_ASSIGN_OR_RETURN(const std::string format, text_of(json, "checkpoint_format", "gptq"));
  if (format != "gptq" && format != "gptq_v2") {
    return unsupported("the checkpoint_format \"{}\"; brisk reads gptq and gptq_v2", format);
  }
  config.zero_offset = format == "gptq" ? 1 : 0;
  return config;
}

absl::StatusOr<QuantizationConfig> read_awq(const Json& json) {
  QuantizationConfig config = {.method = Method::kAwq};
  WeightScheme scheme;
  BRISK_ASSIGN_OR_RETURN(scheme.bits, bits_of(json, "bits", {4}));
  BRISK_ASSIGN_OR_RETURN(scheme.group_inputs, group_of(json, "group_size"));
  config.schemes.push_back(scheme);
  BRISK_ASSIGN_OR_RETURN(const std::string version, text_of(json, "version", "gemm"));
  if (version != "gemm" && version != "GEMM") {
    return unsupported("AWQ's version \"{}\"; brisk reads gemm", version.substr(0, 80));
  }
  const Json* zero_point = find(json, "zero_point");
  if (zero_point != nullptr && *zero_point != true) {
    return unsupported("AWQ without zero points; brisk reads \"zero_point\": true");
  }
  return config;
}

// [128, 128], or "128x128".
absl::StatusOr<std::pair<int64_t, int64_t>> block_of(const Json& json) {
  if (json.is_array() && json.size() == 2 && json[0].is_number_unsigned() &&
      json[1].is_number_unsigned()) {
    const auto outputs = json[0].get<uint64_t>(), inputs = json[1].get<uint64_t>();
    constexpr uint64_t kMost = uint64_t{1} << 31;
    if (outputs > 0 && inputs > 0 && outputs < kMost && inputs < kMost) {
      return std::pair{static_cast<int64_t>(outputs), static_cast<int64_t>(inputs)};
    }
  }
  if (json == "128x128") return std::pair<int64_t, int64_t>{128, 128};
  return invalid_input("a block of weights is two sizes, not {}", to_text(json).substr(0, 80));
}

absl::StatusOr<QuantizationConfig> read_fp8(const Json& json) {
  QuantizationConfig config = {.method = Method::kFp8};
  WeightScheme scheme = {.is_float = true, .bits = 8, .group_outputs = 0};
  BRISK_ASSIGN_OR_RETURN(const std::string format, text_of(json, "fmt", "e4m3"));
  if (format != "e4m3") return unsupported("fp8 in the format \"{}\"; brisk reads e4m3", format);
  if (const Json* block = find(json, "weight_block_size")) {
    BRISK_ASSIGN_OR_RETURN(std::tie(scheme.group_outputs, scheme.group_inputs), block_of(*block));
  }
  config.schemes.push_back(scheme);
  return config;
}

// A group's format says how its weights are stored; whether that fits its own numbers.
absl::Status check_format(std::string_view format, const WeightScheme& scheme) {
  const bool known = (format == "pack-quantized" && !scheme.is_float) ||
                     (format == "int-quantized" && !scheme.is_float && scheme.bits == 8) ||
                     (format == "float-quantized" && scheme.is_float) ||
                     format == "naive-quantized";
  if (known) return absl::OkStatus();
  return unsupported("the format \"{}\" with {}{} weights; {}", format.substr(0, 80),
                     scheme.is_float ? "fp" : "int", scheme.bits, kReadable);
}

// "weights" of a config group: compressed-tensors' QuantizationArgs.
absl::StatusOr<WeightScheme> read_scheme(const Json& json) {
  WeightScheme scheme;
  BRISK_ASSIGN_OR_RETURN(const std::string type, text_of(json, "type", "int"));
  if (type != "int" && type != "float") return invalid_input("the type \"{}\"", type.substr(0, 80));
  scheme.is_float = type == "float";
  BRISK_ASSIGN_OR_RETURN(scheme.bits, scheme.is_float ? bits_of(json, "num_bits", {8})
                                                      : bits_of(json, "num_bits", {2, 4, 8}));
  BRISK_ASSIGN_OR_RETURN(scheme.group_inputs, group_of(json, "group_size"));
  const bool grouped = scheme.group_inputs > 0;
  BRISK_ASSIGN_OR_RETURN(const std::string strategy,
                         text_of(json, "strategy",
                                 grouped                    ? "group"
                                 : find(json, "group_size") ? "channel"
                                                            : "tensor"));
  if (strategy == "block") {
    const Json* block = find(json, "block_structure");
    if (block == nullptr) return invalid_input("a block strategy without \"block_structure\"");
    BRISK_ASSIGN_OR_RETURN(std::tie(scheme.group_outputs, scheme.group_inputs), block_of(*block));
  } else if (strategy == "group") {
    if (!grouped) return invalid_input("a group strategy without \"group_size\"");
  } else if (strategy == "tensor" || strategy == "channel") {
    scheme.group_inputs = 0;
    if (strategy == "tensor") scheme.group_outputs = 0;
  } else {
    return unsupported(
        "weights with scales for each \"{}\"; brisk reads tensor, channel, group and "
        "block",
        strategy.substr(0, 80));
  }
  return scheme;
}

absl::StatusOr<QuantizationConfig> read_compressed_tensors(const Json& json) {
  QuantizationConfig config = {.method = Method::kCompressedTensors};
  if (const Json* sparsity = find(json, "sparsity_config"); sparsity && sparsity->is_object()) {
    BRISK_ASSIGN_OR_RETURN(const std::string format, text_of(*sparsity, "format", "dense"));
    if (format != "dense") {
      return unsupported("sparse weights in the format \"{}\"; {}", format.substr(0, 80),
                         kReadable);
    }
  }
  BRISK_ASSIGN_OR_RETURN(const std::string format, text_of(json, "format", "dense"));
  if (format == "dense") return QuantizationConfig();
  const Json* groups = find(json, "config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty() || groups->size() > kGroupsMax) {
    return invalid_input("there are no \"config_groups\"");
  }
  for (const auto& [name, group] : groups->items()) {
    const Json* weights = group.is_object() ? find(group, "weights") : nullptr;
    if (weights == nullptr || !weights->is_object()) continue;  // only activations are rounded
    auto scheme = read_scheme(*weights);
    if (!scheme.ok()) return annotate(scheme.status(), name);
    BRISK_ASSIGN_OR_RETURN(const std::string own, text_of(group, "format", format));
    BRISK_RETURN_IF_ERROR(annotate(check_format(own, *scheme), name));
    config.schemes.push_back(*scheme);
  }
  return config.schemes.empty() ? QuantizationConfig() : config;
}

absl::StatusOr<QuantizationConfig> read_method(const Json& json) {
  if (!json.is_object()) return invalid_input("it should be an object");
  BRISK_ASSIGN_OR_RETURN(const std::string method, text_of(json, "quant_method", ""));
  if (method == "bitnet") return QuantizationConfig();
  if (method == "gptq") return read_gptq(json);
  if (method == "awq") return read_awq(json);
  if (method == "fp8") return read_fp8(json);
  if (method == "compressed-tensors") return read_compressed_tensors(json);
  if (method.empty() && find(json, "config_groups") != nullptr) {
    return read_compressed_tensors(json);  // early files have only the groups
  }
  if (method.empty()) return invalid_input("there is no \"quant_method\"; {}", kReadable);
  return unsupported("the quant_method \"{}\"; {}", method.substr(0, 80), kReadable);
}

}  // namespace

absl::StatusOr<QuantizationConfig> read_quantization_config(const Json& config) {
  if (!config.is_object()) return invalid_input("config.json is not an object");
  const Json* text = find(config, "text_config");
  for (const Json* object : {&config, text}) {
    if (object == nullptr || !object->is_object()) continue;
    for (const char* key : {"quantization_config", "compression_config"}) {
      const Json* found = find(*object, key);
      if (found == nullptr) continue;
      auto read = read_method(*found);
      if (!read.ok()) return annotate(read.status(), std::string("config.json: ") + key);
      return read;
    }
  }
  return QuantizationConfig();
}

absl::StatusOr<QuantizationConfig> read_quantize_config(const Json& json) {
  if (!json.is_object()) return invalid_input("quantize_config.json is not an object");
  auto read = read_gptq(json);
  if (!read.ok()) return annotate(read.status(), "quantize_config.json");
  return read;
}

}  // namespace brisk
