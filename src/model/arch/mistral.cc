// Mistral 7B (Jiang et al. 2023): Llama whose layers all see a sliding window. GGUF calls it llama.
#include "model/arch/rows.h"

namespace brisk {
namespace {

absl::StatusOr<ModelSpec> mistral_spec(const Checkpoint& checkpoint, int64_t context_max) {
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, common_spec(checkpoint, context_max));
  set_sliding_windows(checkpoint.config, 0, &spec);
  return spec;
}

constexpr std::string_view kHuggingFaceNames[] = {"mistral"};

}  // namespace

const Architecture kMistral = {"mistral", {}, kHuggingFaceNames, mistral_spec, common_names};

}  // namespace brisk
