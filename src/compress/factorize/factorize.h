// Makes a model's projections products of two smaller matrices (model/low_rank.h): fewer weights to
// read for each token.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/calibrate/windows.h"

namespace brisk {

struct FactorizeOptions {
  // One of the three: the share of its energy that each matrix keeps; or the share of their
  // parameters that goes, or what the weights file may take, spread over the matrices where it
  // costs least (choose_ranks.h).
  std::optional<double> energy;
  std::optional<double> ratio;
  std::optional<uint64_t> bytes_max;
  // The products take the matrices' places: no smaller, but any engine loads them.
  bool dense = false;
  // To calibrate with: products come near on the inputs that these make, each layer's after the
  // layers before it were factorised. Empty: the weights themselves are what is kept near.
  std::vector<Document> documents;
  CalibrationOptions calibration;
  double damping = 0.01;       // of the inputs' Gram matrices
  std::string tokenizer_path;  // see OpenOptions
  int threads = 0;             // 0: all
  // Where what is finished is kept until the end, see EditJournal; empty: in memory.
  std::string work_directory;
  // May be null. `phase`: "spectra" or "layers".
  std::function<void(std::string_view phase, int64_t done, int64_t total)> on_progress;
};

struct FactorizedMatrix {
  std::string name;
  int64_t rows = 0;
  int64_t depth = 0;
  int64_t rank = 0;  // 0: it stays as it is
  double kept_energy = 1;
};

struct FactorizeResult {
  uint64_t bytes = 0;  // of the weights file
  std::vector<FactorizedMatrix>
      matrices;  // projections of layers; experts, embedding and head stay
  int64_t calibration_tokens = 0;

  // Of those matrices.
  int64_t parameters_before() const;
  int64_t parameters() const;
};

// `in`: a checkpoint with float weights; `out`: a name ending in .gguf, or a directory. Factors
// have the format of the matrix they come from. Errors: InvalidArgument for weights in blocks
// (factorise first, then quantise) or not finite; Unimplemented for BitNet and for what has factors
// already.
absl::StatusOr<FactorizeResult> factorize_checkpoint(const std::string& in, const std::string& out,
                                                     const FactorizeOptions& options);

}  // namespace brisk
