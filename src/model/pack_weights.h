// Weights in panels: the order in which the kernels read them.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>

#include "compute/kernels/cpu/dispatch.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "model/weights.h"

namespace brisk {

struct PackOptions {
  int threads = 0;      // 0: all
  bool is_file = true;  // the weights lie in mapped files, not in memory that has no other copy
  SparseChoice sparse = SparseChoice::kWhereFaster;
  // Told the share that is packed, 0 to 1, by one thread at a time; quick.
  std::function<void(double)> progress = nullptr;
};

// What pack_weights would do.
struct PackedSize {
  int64_t bytes = 0;         // of panels; of sparse ones about, by a sample
  int64_t source_bytes = 0;  // of the matrices that they take the place of
};
PackedSize packed_size(const KernelTable& kernels, SparseChoice choice, Weights& weights);

// Replaces every matrix that the kernels can read in panels by its panels, and lets go of the pages
// of the files they came from: weights are never in memory twice. For kernels with tiles those are
// tiles (pack_tiles.h; of floats too, except routers, whose choices hang on small differences),
// else panels (pack_panels.h), or sparse ones where there are enough zeros (pack_sparse.h; of
// floats too). Errors: ResourceExhausted.
absl::Status pack_weights(const KernelTable& kernels, const PackOptions& options, Weights* weights);

}  // namespace brisk
