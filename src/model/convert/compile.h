// Writes a model with its matrices packed already, in panels or, for a tile unit, in tiles: a file
// that is mapped, not packed, when it is opened.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "compute/kernels/cpu/kernel_table.h"

namespace brisk {

struct CompileOptions {
  int threads = 0;  // 0: all
  std::function<void(uint64_t bytes, uint64_t bytes_total)> on_progress = nullptr;
  const KernelTable* kernels = nullptr;  // to pack for; null: kernels_from_environment()
};

struct CompileResult {
  uint64_t bytes = 0;  // of the file
  int64_t packed = 0;  // tensors
  int64_t kept = 0;    // tensors as they were
  // Of those: with so many zeros that they are packed sparse when they are loaded.
  int64_t sparse = 0;
};

// `in` is a GGUF file; `out` becomes one whose matrices are packed (in panels: those that are
// quantised), with all else as it was: the same model, bit for bit. A head tied to the embedding
// becomes a matrix of its own.
// Matrices that run sparse here (BRISK_SPARSE) stay as they were, to be packed at every load.
// Errors: InvalidArgument for other files and for models that brisk could not run.
absl::StatusOr<CompileResult> compile_checkpoint(const std::string& in, const std::string& out,
                                                 const CompileOptions& options);

}  // namespace brisk
