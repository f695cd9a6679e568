// Qwen 1.5/2 MoE (a shared expert behind a sigmoid gate beside the routed ones) and Qwen 3 MoE
// (no shared expert, norms on heads).
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> qwen_moe_spec(const Checkpoint& checkpoint, int64_t context_max,
                                        bool normalize_by_default) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  set_sliding_windows(checkpoint.config, 0, &spec);
  set_experts(checkpoint.config, normalize_by_default, &spec);
  return spec;
}

absl::StatusOr<ModelSpec> qwen2_moe_spec(const Checkpoint& checkpoint, int64_t context_max) {
  return qwen_moe_spec(checkpoint, context_max, /*normalize_by_default=*/false);
}

// Every published Qwen 3 MoE normalises; GGUF does not say.
absl::StatusOr<ModelSpec> qwen3_moe_spec(const Checkpoint& checkpoint, int64_t context_max) {
  return qwen_moe_spec(checkpoint, context_max, checkpoint.config.layout == Layout::kGguf);
}

TensorNames qwen3_moe_names(Layout layout) { return with_head_norms(common_names(layout), layout); }

constexpr std::string_view kGgufNames2[] = {"qwen2moe"};
constexpr std::string_view kGgufNames3[] = {"qwen3moe"};
constexpr std::string_view kHuggingFaceNames2[] = {"qwen2_moe"};
constexpr std::string_view kHuggingFaceNames3[] = {"qwen3_moe"};

}  // namespace

const Architecture kQwen2Moe = {"qwen2moe", kGgufNames2, kHuggingFaceNames2, qwen2_moe_spec,
                                common_names};
const Architecture kQwen3Moe = {"qwen3moe", kGgufNames3, kHuggingFaceNames3, qwen3_moe_spec,
                                qwen3_moe_names};

}  // namespace brisk
