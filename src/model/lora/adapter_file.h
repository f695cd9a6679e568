// LoRA adapters as their files have them, before anybody knows which model they are for.
// PEFT: adapter_config.json and adapter_model.safetensors (huggingface/peft, LoraConfig).
// GGUF: general.type "adapter", adapter.type "lora" (llama.cpp, convert_lora_to_gguf.py).
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "compute/sys/mapped_file.h"
#include "compute/tensor/tensor.h"
#include "model/checkpoint/config.h"

namespace brisk {

// One weight that an adapter adds to. Shapes and formats are unchecked, but both have two extents.
struct LoraModule {
  std::string weight;          // its name in a checkpoint of the file's layout
  std::string a_name, b_name;  // as in the file
  Tensor a;                    // (rank, in)
  Tensor b;                    // (out, rank)
  double scale = 1;
};

// Tensors are views into `files`, or into the bytes that were read.
struct LoraFile {
  Layout layout = Layout::kHuggingFace;
  std::string architecture;  // GGUF only
  std::vector<LoraModule> modules;
  std::vector<MappedFile> files;
};

// Opens a directory with adapter_config.json, or a GGUF file.
// Errors: NotFound, InvalidArgument, and Unimplemented for kinds of adapters that brisk has not.
absl::StatusOr<LoraFile> open_lora_file(const std::string& path);

// Parts of it, from memory that must outlive the result.
absl::StatusOr<LoraFile> read_peft(const OrderedJson& config,
                                   std::span<const std::byte> safetensors);
absl::StatusOr<LoraFile> read_gguf_lora(std::span<const std::byte> file);

}  // namespace brisk
