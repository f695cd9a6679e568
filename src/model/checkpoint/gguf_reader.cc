// A Checkpoint from a GGUF file.
#include <limits>
#include <utility>

#include "base/status.h"
#include "model/checkpoint/gguf_model.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

// Recommended sampling settings that some converters store.
absl::Status read_generation(const GgufFile& file, GenerationDefaults& generation) {
  BRISK_ASSIGN_OR_RETURN(generation.temperature, file.number("general.sampling.temp"));
  BRISK_ASSIGN_OR_RETURN(generation.top_p, file.number("general.sampling.top_p"));
  BRISK_ASSIGN_OR_RETURN(generation.min_p, file.number("general.sampling.min_p"));
  BRISK_ASSIGN_OR_RETURN(const auto top_k, file.integer("general.sampling.top_k"));
  if (top_k.has_value() && *top_k >= 0 && *top_k <= std::numeric_limits<int>::max()) {
    generation.top_k = static_cast<int>(*top_k);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status read_gguf(std::span<const std::byte> bytes, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(const GgufFile file, parse_gguf(bytes));
  BRISK_RETURN_IF_ERROR(read_gguf_config(file, checkpoint.config));
  BRISK_RETURN_IF_ERROR(read_generation(file, checkpoint.generation));
  BRISK_ASSIGN_OR_RETURN(checkpoint.tokenizer, read_gguf_tokenizer(file));
  BRISK_ASSIGN_OR_RETURN(const auto chat_template, file.string("tokenizer.chat_template"));
  checkpoint.chat_template = chat_template.value_or("");
  for (const GgufTensor& found : file.tensors) {
    Tensor tensor;
    tensor.dtype = found.dtype;
    tensor.shape = found.shape;
    tensor.data = found.data;
    tensor.panels = found.panels;
    BRISK_RETURN_IF_ERROR(add_tensor(checkpoint, std::string(found.name), std::move(tensor)));
  }
  ModelConfig& config = checkpoint.config;
  const TokenizerRules& rules = checkpoint.tokenizer.rules;
  if (config.vocab_size == 0) {
    config.vocab_size = static_cast<int64_t>(checkpoint.tokenizer.tokens.size());
  }
  config.bos_token = rules.bos;
  config.eos_tokens = rules.end_of_generation;
  checkpoint.metadata = gguf_metadata(file);
  checkpoint.metadata.erase("tokenizer.chat_template");
  return absl::OkStatus();
}

}  // namespace brisk
