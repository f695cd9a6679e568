// Opens small checkpoints from bytes in memory, for the fuzzers and the tests of damaged files.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/gguf_model.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/llama2c.h"
#include "model/checkpoint/quantization_config.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/scaled_tensors.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {

using SmallCheckpoint = absl::StatusOr<std::shared_ptr<Checkpoint>>;

inline SmallCheckpoint read_gguf_bytes(std::span<const std::byte> file) {
  auto checkpoint = std::make_shared<Checkpoint>();
  BRISK_RETURN_IF_ERROR(read_gguf(file, *checkpoint));
  to_text(checkpoint->metadata);
  return checkpoint;
}

inline SmallCheckpoint read_llama2c_bytes(std::span<const std::byte> file) {
  auto checkpoint = std::make_shared<Checkpoint>();
  BRISK_RETURN_IF_ERROR(read_llama2c(file, *checkpoint));
  return checkpoint;
}

// A Hugging Face checkpoint in one piece: config.json, generation_config.json and a safetensors
// file with a zero byte between them, which JSON does not have.
inline SmallCheckpoint read_hugging_face_bytes(std::span<const std::byte> file) {
  std::string_view rest(reinterpret_cast<const char*>(file.data()), file.size());
  const auto take_until_zero = [&rest] {
    const size_t end = std::min(rest.find('\0'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return part;
  };
  auto checkpoint = std::make_shared<Checkpoint>();
  BRISK_ASSIGN_OR_RETURN(const Json config, parse_json(take_until_zero()));
  BRISK_ASSIGN_OR_RETURN(checkpoint->config, read_hf_config(config));
  BRISK_ASSIGN_OR_RETURN(const Json generation, parse_json(take_until_zero()));
  BRISK_ASSIGN_OR_RETURN(checkpoint->generation,
                         read_generation_config(generation, checkpoint->config));
  BRISK_ASSIGN_OR_RETURN(SafetensorsFile parsed, parse_safetensors(std::as_bytes(std::span(rest))));
  for (SafetensorsTensor& entry : parsed.tensors) {
    BRISK_RETURN_IF_ERROR(add_tensor(*checkpoint, std::move(entry.name), std::move(entry.tensor)));
  }
  BRISK_ASSIGN_OR_RETURN(const QuantizationConfig quantization, read_quantization_config(config));
  BRISK_RETURN_IF_ERROR(combine_scaled_tensors(quantization, *checkpoint));
  return checkpoint;
}

}  // namespace brisk
