// What EngineOptions leave open, settled for a model and this machine.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>

#include "engine/engine.h"

namespace brisk {

struct EngineSizes {
  KvElement element = KvElement::kF32;
  int64_t blocks = 0;
  int64_t context = 0;
};

// Errors: InvalidArgument, naming the option.
absl::Status check_options(const EngineOptions& options);

// Errors: ResourceExhausted with figures when the KV pool cannot hold one sequence of the context.
absl::StatusOr<EngineSizes> settle_sizes(const Model& model, const EngineOptions& options);

}  // namespace brisk
