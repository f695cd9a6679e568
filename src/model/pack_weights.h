// Quantised weights in panels: the order in which the integer kernels read them.
#pragma once

#include <absl/status/status.h>

#include "model/weights.h"

namespace brisk {

struct PackOptions {
  int threads = 0;      // 0: all
  bool is_file = true;  // the weights lie in mapped files, not in memory that has no other copy
};

// Replaces every matrix that panels can hold by its panels, without loss, and lets go of the pages
// of the files they came from: weights are never in memory twice. Errors: ResourceExhausted.
absl::Status pack_weights(const PackOptions& options, Weights* weights);

}  // namespace brisk
