// What a model is called, and configured as, in the layout it is converted to.
#pragma once

#include <absl/status/statusor.h>

#include "model/arch/architecture.h"
#include "model/checkpoint/checkpoint.h"
#include "model/spec.h"

namespace brisk {

// Both sides of a conversion. `source` outlives it.
struct Conversion {
  const Checkpoint* source = nullptr;
  ModelSpec spec;  // of the source, which the target shares but for names and orders
  TensorNames source_names;
  ModelConfig config;        // of the target
  TensorNames names;         // of the target
  bool interleaved = false;  // the target rotates neighbours, not halves
  bool rows_move = false;    // and the source does not, or the other way: rows of q and k move
  float norm_shift = 0;      // what is added to norm weights
};

// Errors: Unimplemented for models that the target layout has no name for, InvalidArgument for
// checkpoints that brisk could not run either.
absl::StatusOr<Conversion> plan_conversion(const Checkpoint& source, Layout target);

}  // namespace brisk
