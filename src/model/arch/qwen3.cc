// Qwen 3 (Yang et al. 2025): no biases, an RMS norm on every query and key head.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> qwen3_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  set_sliding_windows(checkpoint.config, 0, &spec);
  return spec;
}

TensorNames qwen3_names(Layout layout) { return with_head_norms(common_names(layout), layout); }

constexpr std::string_view kGgufNames[] = {"qwen3"};
constexpr std::string_view kHuggingFaceNames[] = {"qwen3"};

}  // namespace

const Architecture kQwen3 = {"qwen3", kGgufNames, kHuggingFaceNames, qwen3_spec, qwen3_names};

}  // namespace brisk
