// Small adapters from bytes in memory, for the fuzzer and the tests of damaged files: read them,
// bind them to a llama of one layer without weights, and add them to the products of two rows.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
#include "compute/kernels/cpu/dispatch.h"
#include "model/lora/adapter.h"
#include "model/lora/lora_ops.h"

namespace brisk {

// A GGUF file; or adapter_config.json and a safetensors file with a zero byte between them.
inline absl::StatusOr<LoraFile> read_adapter_bytes(std::span<const std::byte> file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.starts_with("GGUF")) return read_gguf_lora(file);
  const size_t end = std::min(text.find('\0'), text.size());
  BRISK_ASSIGN_OR_RETURN(const OrderedJson config, parse_ordered_json(text.substr(0, end)));
  return read_peft(config, file.subspan(std::min(end + 1, file.size())));
}

// The sizes of the seeds (fuzz/make_seeds.py).
inline Model model_of_seeds() {
  Model model;
  auto checkpoint = std::make_shared<Checkpoint>();
  checkpoint->config.layout = Layout::kHuggingFace;
  checkpoint->config.architecture = "llama";
  model.checkpoint = std::move(checkpoint);
  model.spec.hidden_size = 4;
  model.spec.ffn_size = 3;
  model.spec.heads = 2;
  model.spec.kv_heads = 1;
  model.spec.head_dim = 2;
  model.spec.ropes.push_back({.rotary_dim = 2, .inverse_frequencies = {1}});
  model.spec.layers.resize(1);
  return model;
}

inline void add_to_rows(const LoraAdapter& adapter, const ModelSpec& spec) {
  struct Product {
    LoraTarget target;
    int64_t in, out;
  };
  const int64_t hidden = spec.hidden_size, q = int64_t{spec.heads} * spec.head_dim;
  const int64_t kv = int64_t{spec.kv_heads} * spec.head_dim;
  const Product products[kLoraTargetCount] = {{LoraTarget::kQ, hidden, q},
                                              {LoraTarget::kK, hidden, kv},
                                              {LoraTarget::kV, hidden, kv},
                                              {LoraTarget::kO, q, hidden},
                                              {LoraTarget::kGate, hidden, spec.ffn_size},
                                              {LoraTarget::kUp, hidden, spec.ffn_size},
                                              {LoraTarget::kDown, spec.ffn_size, hidden}};
  const SliceView slice = {.row_begin = 0, .row_end = 2, .first_position = 0, .blocks = {}};
  const LoraAdapter* const adapters[] = {&adapter};
  LoraOps ops(*usable_kernels().front());
  ops.begin({&slice, 1}, adapters);
  const Worker alone;
  for (const Product& product : products) {
    // Exactly as large as they must be, so that a sanitizer sees any access beyond them.
    std::vector<float> x(static_cast<size_t>(2 * product.in), 0.5f);
    std::vector<float> y(static_cast<size_t>(2 * product.out), 0.25f);
    ops.reduce(alone, 0, {x.data(), 2, product.in, product.in}, {product.target});
    ops.add(alone, 0, product.target, {y.data(), 2, product.out, product.out});
    if (adapter.layers[0].of(product.target).rank > 0) continue;
    for (const float value : y) BRISK_CHECK(value == 0.25f);
  }
}

// Ok, or why the adapter was refused.
inline absl::Status use_adapter(const absl::StatusOr<LoraFile>& file) {
  const Model model = model_of_seeds();
  const auto adapter = file.ok() ? bind_lora(*file, model) : file.status();
  if (!adapter.ok()) {
    BRISK_CHECK(!adapter.status().message().empty());
    return adapter.status();
  }
  add_to_rows(**adapter, model.spec);
  return absl::OkStatus();
}

}  // namespace brisk
