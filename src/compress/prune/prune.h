// Removes single weights: a checkpoint of the same shape with zeros in it.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/calibrate/windows.h"
#include "compress/prune/masks.h"

namespace brisk {

enum class PruneMethod : uint8_t {
  kMagnitude,        // the smallest weights of each matrix
  kGlobalMagnitude,  // the smallest of all layers
  kWanda,  // by |w| times the norm of its input (Sun, Liu, Bair, Kolter 2023, arXiv 2306.11695);
           // among all of a matrix, not row by row: docs/compression.md says why
  kSparseGpt,  // see sparsegpt.h
};

// "magnitude", "global-magnitude", "wanda", "sparsegpt". Errors: InvalidArgument with the names.
absl::StatusOr<PruneMethod> parse_prune_method(std::string_view name);
std::string prune_method_choices();

// "0.5", or "2:4" for two that stay of every four. Errors: InvalidArgument.
absl::StatusOr<SparsityPattern> parse_sparsity(std::string_view text);

struct PruneOptions {
  PruneMethod method = PruneMethod::kWanda;
  SparsityPattern pattern;
  bool head = false;                // the head too, and with it an embedding that it is tied to
  std::vector<Document> documents;  // to calibrate with; magnitudes need none
  CalibrationOptions calibration;
  double damping = 0.01;       // of SparseGPT
  std::string tokenizer_path;  // see OpenOptions
  int threads = 0;             // 0: all
  std::string work_directory;  // where finished layers are kept, see EditJournal; empty: in memory
  std::function<void(int64_t layers_done, int64_t layers)> on_progress;  // may be null
};

struct PrunedMatrix {
  std::string name;
  int64_t values = 0;
  int64_t zeros = 0;
};

struct PruneResult {
  uint64_t bytes = 0;                  // of the weights file
  std::vector<PrunedMatrix> matrices;  // of layers, and the head where it was asked for
  int64_t calibration_tokens = 0;

  double sparsity() const;  // of those matrices
};

// `in`: a checkpoint with float weights; `out`: a name ending in .gguf, or a directory. Formats and
// shapes stay; zeros take the place of what goes, and stay when `brisk-train pretrain --start`
// retrains it. With a work directory a run goes on where an earlier one with the same arguments was
// killed, to the same bytes. Errors: InvalidArgument for weights in blocks (prune first, then
// quantise) or not finite.
absl::StatusOr<PruneResult> prune_checkpoint(const std::string& in, const std::string& out,
                                             const PruneOptions& options);

}  // namespace brisk
