// Quantised weights in panels: the order in which the integer kernels read them.
#pragma once

#include <absl/status/status.h>

#include "model/weights.h"

namespace brisk {

// Replaces every matrix that panels can hold by its panels, without loss, and lets go of the pages
// of the checkpoint they came from: weights are never in memory twice. `threads` 0: all.
// Errors: ResourceExhausted.
absl::Status pack_weights(int threads, Weights* weights);

}  // namespace brisk
