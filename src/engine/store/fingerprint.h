// What KV blocks depend on beside their tokens, in one number.
#pragma once

#include <cstdint>

#include "compute/backend/cpu_ops.h"
#include "model/model.h"

namespace brisk {

// Of the weights (names, types, shapes, and samples of every tensor's bytes), the kernels, the KV
// format and brisk's numerics. Two models that differ anywhere are told apart unless they differ
// only between the samples.
uint64_t kv_fingerprint(const Model& model, KvElement element);

}  // namespace brisk
