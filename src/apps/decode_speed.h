// How fast a model generates, as a figure beside its quality. `brisk bench` measures with care.
#pragma once

#include <absl/status/statusor.h>

#include "model/model.h"

namespace brisk {

// Tokens/s of one sequence over 32 tokens: the best run of half a second, at least three, after one
// that warms up.
// `threads`: 0 for all. Errors: ResourceExhausted (memory).
absl::StatusOr<double> measure_decode_speed(const Model& model, int threads);

}  // namespace brisk
