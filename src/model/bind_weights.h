// Finds every tensor an architecture needs in a checkpoint and checks its shape.
#pragma once

#include <absl/status/statusor.h>

#include "model/arch/architecture.h"
#include "model/weights.h"

namespace brisk {

// Vocabulary size, feed-forward sizes and biases are taken from the tensors themselves where the
// configuration leaves them open. Errors: InvalidArgument naming the tensor, its shape and the
// expected one; Unimplemented for formats that are not weights.
absl::StatusOr<Weights> bind_weights(const Checkpoint& checkpoint, const TensorNames& names,
                                     const ModelSpec& spec);

}  // namespace brisk
