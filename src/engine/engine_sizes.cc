#include "engine/engine_sizes.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/memory.h"

namespace brisk {

int64_t logits_rows_max(const EngineOptions& options) {
  return std::min<int64_t>(options.sequences_max, options.tokens_per_step_max) +
         kPromptLogitsPerStep;
}

absl::StatusOr<EngineSizes> settle_sizes(const Model& model, const EngineOptions& options) {
  EngineSizes sizes;
  sizes.element = kv_element_for(model, options.kv_dtype);
  sizes.context = model.spec.context_length;
  if (options.context_max > 0) sizes.context = std::min(sizes.context, options.context_max);
  const int64_t block_bytes = kv_block_bytes(model.spec, sizes.element);
  if (options.kv_tokens > 0) {
    sizes.blocks = ceil_div<int64_t>(options.kv_tokens, kKvBlockTokens);
  } else {
    const int64_t bytes =
        options.kv_bytes_max > 0 ? options.kv_bytes_max : available_memory_bytes() / 2;
    const int64_t useful = ceil_div<int64_t>(sizes.context, kKvBlockTokens) * options.sequences_max;
    sizes.blocks = std::min(bytes / block_bytes, useful);
  }
  sizes.blocks = std::min<int64_t>(sizes.blocks, INT32_MAX);
  const int64_t slots = sizes.blocks * kKvBlockTokens;
  if (sizes.blocks < 1 || (options.context_max > 0 && slots < sizes.context)) {
    return exhausted(
        "a KV cache of {} ({} tokens) does not hold one sequence of {} tokens, which takes {}; "
        "allow more memory or a shorter context",
        human_bytes(static_cast<uint64_t>(sizes.blocks * block_bytes)), slots, sizes.context,
        human_bytes(
            static_cast<uint64_t>(ceil_div<int64_t>(sizes.context, kKvBlockTokens) * block_bytes)));
  }
  if (slots < sizes.context) {
    spdlog::warn("memory holds {} tokens of KV: sequences end there, not at the model's {}", slots,
                 sizes.context);
    sizes.context = slots;
  }
  return sizes;
}

absl::Status check_options(const EngineOptions& options) {
  if (options.threads < 0 || options.threads > 1024) {
    return invalid_input("threads must be 1 to 1024 (0: all), not {}", options.threads);
  }
  if (options.tokens_per_step_max < 1 || options.tokens_per_step_max > 1 << 20) {
    return invalid_input("tokens per step must be 1 to 1048576, not {}",
                         options.tokens_per_step_max);
  }
  if (options.sequences_max < 1 || options.sequences_max > 1 << 16) {
    return invalid_input("sequences must be 1 to 65536, not {}", options.sequences_max);
  }
  if (options.queue_max < 1) return invalid_input("the queue must hold at least one request");
  if (options.adapters_max < 0) return invalid_input("the number of adapters cannot be negative");
  if (!options.store_directory.empty() && !options.prefix_cache) {
    return invalid_input("stored prefixes are found through the prefix cache: leave it on");
  }
  if (options.stretch_percent != 0 && options.stretch_percent <= 100) {
    return invalid_input("steps can be stretched to more than 100 percent, not to {}",
                         options.stretch_percent);
  }
  if (options.first_token_seconds_max < 0 || options.unread_events_max < 0 ||
      options.unread_seconds_max <= 0 || options.step_seconds_max <= 0) {
    return invalid_input("limits of time and of unread events must be positive");
  }
  return absl::OkStatus();
}

}  // namespace brisk
