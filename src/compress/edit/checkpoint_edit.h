// A checkpoint some of whose tensors are replaced, before it is written as a new one.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "compress/edit/edit_journal.h"
#include "compress/edit/matrix_format.h"
#include "model/checkpoint/checkpoint.h"

namespace brisk {

// One thread at a time, but rows may be filled by many.
class CheckpointEdit {
 public:
  // With a journal, which outlives it, what is made lies there.
  explicit CheckpointEdit(std::shared_ptr<const Checkpoint> source, EditJournal* journal = nullptr);

  // The bytes of what takes the place of `old`, a tensor of the source: (shape) in `dtype`. The
  // first call allocates them, zeroed; the next ones give the same. REQUIRES: the format keeps its
  // scales with its values; it has not been committed.
  std::byte* replace(const NamedTensor& old, DType dtype, std::vector<int64_t> shape);

  // The same for any format; of codes with scales of their own, the memory of scaled_tensor for all
  // rows, those of a stack one after the other.
  std::span<std::byte> replace(const NamedTensor& old, const MatrixFormat& format);

  // Replaces `old` by f32 values of the same shape, its own but for those from `first` on.
  void patch_values(const NamedTensor& old, int64_t first, std::span<const float> values);

  // Replaces `old` by some of its rows (a row: one index of the outermost dimension), in the order
  // given; a format keeps its bytes. REQUIRES: rows of `old`, which has at least one dimension.
  void select_rows(const NamedTensor& old, std::span<const int64_t> rows);

  // `old` goes.
  void remove(const NamedTensor& old);

  // The bytes of a tensor that the source does not have, zeroed: (shape) in `dtype`, which keeps
  // its scales with its values.
  std::byte* add(std::string name, DType dtype, std::vector<int64_t> shape);

  // Tensors whose names begin with `prefix` begin with `other` instead; empty: they go.
  void rename_prefix(const std::string& prefix, const std::string& other);

  // All that was replaced, added and removed since the last commit is a complete step, which the
  // journal keeps together with `details`; the pages of earlier ones, and of what was replaced, are
  // let go. Without a journal nothing happens. Errors: Unavailable (the disk).
  absl::Status commit(const Json& details);
  // Takes a step from the journal and gives its details. Errors: InvalidArgument when it is no step
  // of such an edit.
  absl::StatusOr<Json> restore(const Json& step);

  // What the new checkpoint says of itself; begins as the source's.
  ModelConfig& config() { return config_; }
  TokenizerData& tokenizer() { return tokenizer_; }

  // A view of the source with what was replaced; this edit outlives it. A Hugging Face
  // configuration that it carries has the sizes and tokens of config().
  Checkpoint edited() const;

 private:
  std::string new_name(const std::string& name) const;
  void update(Json& config) const;

  // A tensor of the new checkpoint.
  struct Made {
    Tensor tensor;
    MatrixFormat format;
    std::span<std::byte> memory;  // of the journal, or:
    std::unique_ptr<std::byte[]> owned;
    bool committed = false;
  };
  struct Added {
    std::string name;
    Made made;
  };

  std::span<std::byte> replace(const NamedTensor& old, const MatrixFormat& format,
                               std::vector<int64_t> shape);
  Made make(const MatrixFormat& format, std::vector<int64_t> shape);
  Json entry_of(const std::string& name, const Made& made) const;
  absl::StatusOr<Made> made_of(const Json& entry) const;
  absl::StatusOr<const NamedTensor*> tensor_of(const Json& name) const;
  void release(const NamedTensor& named) const;

  const std::shared_ptr<const Checkpoint> source_;
  EditJournal* const journal_;                                // or null
  std::vector<std::pair<std::string, std::string>> renamed_;  // prefixes
  ModelConfig config_;
  TokenizerData tokenizer_;
  absl::flat_hash_map<const NamedTensor*, Made> replacements_;
  absl::flat_hash_set<const NamedTensor*> removed_;
  std::vector<const NamedTensor*> newly_removed_;  // since the last commit
  std::vector<Added> added_;
};

}  // namespace brisk
