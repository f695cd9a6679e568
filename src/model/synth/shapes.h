// The shapes of real models, for synthetic checkpoints that cost what the real ones cost.
#pragma once

#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoint/config.h"
#include "model/checkpoint/tensor_file_writer.h"

namespace brisk {

enum class VocabularyStyle : uint8_t { kLlama2, kLlama3, kQwen };

struct Shape {
  std::string_view name;  // "llama-3.2-1b"
  ModelConfig config;     // under GGUF's architecture name
  VocabularyStyle vocabulary = VocabularyStyle::kLlama2;
};

std::span<const Shape> shapes();

// Errors: NotFound with the names that exist.
absl::StatusOr<Shape> find_shape(std::string_view name);

// The tensors of a shape, all as f32, under GGUF's names and in the order its files have them.
std::vector<TensorPlan> tensors_of(const ModelConfig& config);

}  // namespace brisk
