// What a Hugging Face config.json says of how its weights are quantised ("quantization_config").
// Keys: transformers' GPTQConfig and AwqConfig, compressed-tensors' QuantizationConfig and
// QuantizationArgs, DeepSeek-V3's fp8 configuration.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <vector>

#include "base/json.h"

namespace brisk {

// How the weights of some matrices are rounded.
struct WeightScheme {
  bool is_float = false;  // fp8
  int bits = 0;
  // Weights that share a scale; 0: all.
  int64_t group_outputs = 1;
  int64_t group_inputs = 0;
};

struct QuantizationConfig {
  enum class Method : uint8_t { kNone, kGptq, kAwq, kCompressedTensors, kFp8 };

  Method method = Method::kNone;
  std::vector<WeightScheme> schemes =
      {};  // one, or (compressed-tensors) one for each group of modules
  // GPTQ stores zero points less one, in the first version of its format.
  int zero_offset = 0;
};

// `config`: the contents of config.json. No quantisation, and BitNet's, which is the family's own,
// give kNone. Errors: InvalidArgument for values that make no sense, Unimplemented naming what
// brisk does not read and what it does.
absl::StatusOr<QuantizationConfig> read_quantization_config(const Json& config);

// The contents of quantize_config.json, where early GPTQ checkpoints keep it.
absl::StatusOr<QuantizationConfig> read_quantize_config(const Json& json);

}  // namespace brisk
