// Removes whole neurons, heads, channels and layers: an ordinary smaller checkpoint, which any
// engine loads and runs faster.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compress/calibrate/windows.h"

namespace brisk {

struct StructuredOptions {
  // Shares that go, in [0, 1).
  double neurons = 0;   // of every MLP
  double kv_heads = 0;  // of every attention: key-value heads with all query heads that share them
  double channels = 0;  // of the residual stream
  int layers = 0;       // how many go
  // A file of StructureImportance that says which; empty: what the texts show (SeenLayer).
  std::string importance_path;
  std::vector<Document> documents;  // to calibrate with
  CalibrationOptions calibration;
  double damping = 0.01;       // of the fit of what stays to what was there
  std::string tokenizer_path;  // see OpenOptions
  int threads = 0;             // 0: all
  std::string work_directory;  // where what is seen of layers is kept, see EditJournal; empty: not
  std::function<void(int64_t layers_done, int64_t layers)> on_progress;  // may be null
};

struct StructuredResult {
  uint64_t bytes = 0;  // of the weights file
  int64_t parameters_before = 0;
  int64_t parameters = 0;
  int64_t layers = 0, ffn_size = 0, heads = 0, kv_heads = 0, hidden_size = 0;  // of what is left
  std::vector<int> removed_layers;
  int64_t calibration_tokens = 0;
};

// `in`: a checkpoint with float weights; `out`: a name ending in .gguf, or a directory. The
// matrices behind what goes (down, o) are fitted anew, by least squares over the calibration texts,
// so that what stays makes up for it. Neurons and channels are kept in multiples of 16. With a work
// directory a run goes on where an earlier one with the same arguments was killed, to the same
// bytes. Errors: InvalidArgument when nothing would be left or weights are in blocks; Unimplemented
// for neurons of experts, and layers of models whose layers differ in kind.
absl::StatusOr<StructuredResult> prune_structures(const std::string& in, const std::string& out,
                                                  const StructuredOptions& options);

}  // namespace brisk
