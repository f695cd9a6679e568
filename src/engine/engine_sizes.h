// What EngineOptions leave open, settled for a model and this machine.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>

#include "engine/engine.h"

namespace brisk {

// Rows of logits for prompts that ask for all of theirs, beside those that are drawn from.
inline constexpr int kPromptLogitsPerStep = 32;

// Of a step, at most.
int64_t logits_rows_max(const EngineOptions& options);

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
