// A checkpoint some of whose tensors are replaced, before it is written as a new one.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compute/quant/scaled_scheme.h"
#include "model/checkpoint/checkpoint.h"

namespace brisk {

// One thread at a time, but rows may be filled by many.
class CheckpointEdit {
 public:
  explicit CheckpointEdit(std::shared_ptr<const Checkpoint> source);

  // The bytes of what takes the place of `old`, a tensor of the source: (shape) in `dtype`. The
  // first call allocates them, zeroed; the next ones give the same. REQUIRES: the format keeps its
  // scales with its values.
  std::byte* replace(const NamedTensor& old, DType dtype, std::vector<int64_t> shape);

  // The same for codes with scales of their own: gives the memory of scaled_tensor, for all rows of
  // `old`, those of a stack one after the other.
  std::span<std::byte> replace(const NamedTensor& old, const ScaledScheme& scheme);

  // Replaces `old` by f32 values of the same shape, its own but for those from `first` on.
  void patch_values(const NamedTensor& old, int64_t first, std::span<const float> values);

  // Replaces `old` by some of its rows (a row: one index of the outermost dimension), in the order
  // given; a format keeps its bytes. REQUIRES: rows of `old`, which has at least one dimension.
  void select_rows(const NamedTensor& old, std::span<const int64_t> rows);

  // Tensors whose names begin with `prefix` begin with `other` instead; empty: they go.
  void rename_prefix(const std::string& prefix, const std::string& other);

  // What the new checkpoint says of itself; begins as the source's.
  ModelConfig& config() { return config_; }
  TokenizerData& tokenizer() { return tokenizer_; }

  // A view of the source with what was replaced; this edit outlives it. A Hugging Face
  // configuration that it carries has the sizes and tokens of config().
  Checkpoint edited() const;

 private:
  std::string new_name(const std::string& name) const;
  void update(Json& config) const;

  struct Replacement {
    Tensor tensor;
    std::unique_ptr<std::byte[]> bytes;
    size_t size = 0;
  };

  const std::shared_ptr<const Checkpoint> source_;
  std::vector<std::pair<std::string, std::string>> renamed_;  // prefixes
  ModelConfig config_;
  TokenizerData tokenizer_;
  absl::flat_hash_map<const NamedTensor*, Replacement> replacements_;
};

}  // namespace brisk
