// Writes a model with its matrices already in panels: a file that is mapped, not packed, when it is
// opened.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>

namespace brisk {

struct CompileOptions {
  int threads = 0;                                                        // 0: all
  std::function<void(uint64_t bytes, uint64_t bytes_total)> on_progress;  // may be null
};

struct CompileResult {
  uint64_t bytes = 0;  // of the file
  int64_t packed = 0;  // tensors in panels
  int64_t kept = 0;    // tensors as they were
  int64_t sparse =
      0;  // of those: with so many zeros that they are packed sparse when they are loaded
};

// `in` is a GGUF file; `out` becomes one whose quantised matrices are in panels, with all else as
// it was: the same model, bit for bit. A head tied to the embedding gets panels of its own.
// Matrices that run sparse here (BRISK_SPARSE) stay as they were, to be packed at every load.
// Errors: InvalidArgument for other files and for models that brisk could not run.
absl::StatusOr<CompileResult> compile_checkpoint(const std::string& in, const std::string& out,
                                                 const CompileOptions& options);

}  // namespace brisk
