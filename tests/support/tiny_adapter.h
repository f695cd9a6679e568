// Random adapters for small models, as PEFT would write them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/rng.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/safetensors.h"
#include "model/spec.h"

namespace brisk {

struct TinyAdapter {
  int rank = 4;
  double alpha = 8;
  uint64_t seed = 1;
  DType dtype = DType::kF32;
  double b_gain = 1;  // 0: B is zero
  std::vector<std::string> modules = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                      "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                      "mlp.down_proj"};
};

// (out, in) of a module of a model with unfused projections.
inline std::pair<int64_t, int64_t> shape_of_module(const ModelSpec& spec, std::string_view module) {
  const int64_t hidden = spec.hidden_size, q = int64_t{spec.heads} * spec.head_dim;
  const int64_t kv = int64_t{spec.kv_heads} * spec.head_dim;
  if (module.ends_with("q_proj")) return {q, hidden};
  if (module.ends_with("k_proj") || module.ends_with("v_proj")) return {kv, hidden};
  if (module.ends_with("o_proj")) return {hidden, q};
  if (module.ends_with("down_proj")) return {hidden, spec.ffn_size};
  return {spec.ffn_size, hidden};
}

inline std::string tiny_adapter_config(const TinyAdapter& tiny) {
  return to_text({{"peft_type", "LORA"}, {"r", tiny.rank}, {"lora_alpha", tiny.alpha}});
}

inline std::string tiny_adapter_weights(const ModelSpec& spec, const TinyAdapter& tiny) {
  Rng rng(tiny.seed);
  Json header = Json::object();
  std::string data;
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols, double deviation) {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& value : values) value = static_cast<float>(rng.next_gaussian() * deviation);
    std::string bytes(static_cast<size_t>(bytes_of(tiny.dtype, rows * cols)), '\0');
    format_of(tiny.dtype)
        .encode(values.data(), rows * cols, reinterpret_cast<std::byte*>(bytes.data()));
    header[name] = {{"dtype", *safetensors_dtype(tiny.dtype)},
                    {"shape", {rows, cols}},
                    {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
  };
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    for (const std::string& module : tiny.modules) {
      const auto [out, in] = shape_of_module(spec, module);
      const std::string name = "base_model.model.model.layers." + std::to_string(i) + "." + module;
      add(name + ".lora_A.weight", tiny.rank, in, 1 / std::sqrt(static_cast<double>(in)));
      add(name + ".lora_B.weight", out, tiny.rank, 0.3 * tiny.b_gain);
    }
  }
  const std::string text = to_text(header);
  const uint64_t size = text.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  return file + text + data;
}

// Writes the adapter into `directory`, which it makes.
inline void write_tiny_adapter(const std::filesystem::path& directory, const ModelSpec& spec,
                               const TinyAdapter& tiny) {
  std::filesystem::create_directories(directory);
  write_file_atomically((directory / "adapter_config.json").string(), tiny_adapter_config(tiny))
      .IgnoreError();
  write_file_atomically((directory / "adapter_model.safetensors").string(),
                        tiny_adapter_weights(spec, tiny))
      .IgnoreError();
}

}  // namespace brisk
