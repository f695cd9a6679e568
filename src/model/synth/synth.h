// Checkpoints with random weights in the shape of real models: for measuring speed and memory
// without the real ones.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "model/synth/shapes.h"
#include "model/synth/sparsity.h"

namespace brisk {

struct SynthOptions {
  std::string format = "q8_0";  // an element format, or the mix "q4_k_m"
  uint64_t seed = 1;
  Sparsity sparsity = {};    // of the layers' matrices
  bool sparse_head = false;  // and of the embedding and the head
  int threads = 1;
  std::function<void(uint64_t bytes, uint64_t bytes_total)> on_progress;  // may be null
};

struct SynthResult {
  uint64_t bytes = 0;  // of the file
  uint64_t parameters = 0;
};

// Writes a GGUF file. Weights are N(0, 0.02^2), norms near 1; each is a function of the seed, the
// tensor and the position alone. Matrices whose rows do not fill the format's blocks get the
// nearest smaller-blocked one; vectors are f32.
absl::StatusOr<SynthResult> write_synthetic(const Shape& shape, const SynthOptions& options,
                                            const std::string& path);

}  // namespace brisk
