// Llama 1, 2, 3 and 3.x (Touvron et al. 2023; Llama team 2024), and in GGUF also Mistral and
// Mixtral, which carry this name there.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> llama_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  const ModelConfig& config = checkpoint.config;
  // GGUF converters permute the rows of q and k so that rotated pairs are neighbours.
  spec.ropes[0].style =
      config.layout == Layout::kHuggingFace ? RopeStyle::kHalves : RopeStyle::kInterleaved;
  set_sliding_windows(config, 0, &spec);
  if (config.experts > 0) set_experts(config, /*normalize=*/true, &spec);
  return spec;
}

constexpr std::string_view kGgufNames[] = {"llama"};
constexpr std::string_view kHuggingFaceNames[] = {"llama"};

}  // namespace

const Architecture kLlama = {"llama", kGgufNames, kHuggingFaceNames, llama_spec, common_names};

}  // namespace brisk
