// Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases on q, k and v.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> qwen2_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  set_sliding_windows(checkpoint.config, 0, &spec);
  return spec;
}

constexpr std::string_view kGgufNames[] = {"qwen2"};
constexpr std::string_view kHuggingFaceNames[] = {"qwen2"};

}  // namespace

const Architecture kQwen2 = {"qwen2", kGgufNames, kHuggingFaceNames, qwen2_spec, common_names};

}  // namespace brisk
