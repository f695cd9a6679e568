// Rewrites a checkpoint in another layout or element format.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "model/checkpoint/checkpoint.h"

namespace brisk {

struct ConvertOptions {
  std::string dtype;           // a FormatChoice or an scaled_scheme; empty: keep what fits
  std::string tokenizer_path;  // see OpenOptions
  int threads = 1;
  std::function<void(uint64_t bytes, uint64_t bytes_total)> on_progress;  // may be null
};

struct ConvertResult {
  uint64_t bytes = 0;  // of the weights file
  int64_t tensors = 0;
  int64_t unplaced = 0;         // tensors of the source that the target has no place for
  bool report_kept = false;     // every weight is what it was, so that the quality report holds
  bool report_dropped = false;  // there was one, of other weights
  std::string tokenizer;        // how the tokenizer fared, for people
};

// `out` ending in .gguf: a GGUF file; else a Hugging Face directory with model.safetensors,
// config.json and, where possible, tokenizer files. Memory stays bounded by a few tensor rows
// (transposed matrices: by one matrix).
absl::StatusOr<ConvertResult> convert_checkpoint(const std::string& in, const std::string& out,
                                                 const ConvertOptions& options);

// The same for a checkpoint that is open, or was made: `in` is where it came from, whose tokenizer
// files are copied. Rows keep their bytes where the format stays.
absl::StatusOr<ConvertResult> write_checkpoint(const Checkpoint& source, const std::string& in,
                                               const std::string& out,
                                               const ConvertOptions& options);

}  // namespace brisk
