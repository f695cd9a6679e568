// A checkpoint as people have it, opened in place: configuration, tensors, tokenizer.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "compute/sys/mapped_file.h"
#include "compute/tensor/tensor.h"
#include "model/checkpoint/config.h"
#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// What every reader yields. Tensors point into `files` (or `owned`), so a Checkpoint outlives every
// view of its weights. Immutable once opened; any thread may read it.
struct Checkpoint {
  ModelConfig config;
  GenerationDefaults generation;
  TokenizerData tokenizer;    // kind kNone when the checkpoint has none
  std::string chat_template;  // Jinja text; empty when there is none
  Json metadata;              // everything else the file says about itself, for `brisk inspect`
  std::vector<NamedTensor> tensors;                // in file order
  absl::flat_hash_map<std::string, size_t> index;  // name -> position in tensors

  std::vector<MappedFile> files;
  std::vector<std::unique_ptr<float[]>> owned;  // scales that a file interleaves with other data

  const Tensor* find(std::string_view name) const {
    const auto it = index.find(absl::string_view(name.data(), name.size()));
    return it == index.end() ? nullptr : &tensors[it->second].tensor;
  }

  // Also below the wrappers' prefixes that some Hugging Face files have ("transformer.h.0...").
  const NamedTensor* find_weight(std::string_view name) const;
};

struct OpenOptions {
  // A tokenizer file for checkpoints that carry none (llama2.c): tokenizer.bin, tokenizer.model,
  // tokenizer.json or a tiktoken file. Empty: look beside the model.
  std::string tokenizer_path;
};

// Opens a .gguf, a .safetensors, a llama2.c .bin or a Hugging Face directory, by content and not by
// name. Errors say which file, what was wrong, and what to do.
absl::StatusOr<std::shared_ptr<const Checkpoint>> open_checkpoint(const std::string& path,
                                                                  const OpenOptions& options = {});

}  // namespace brisk
