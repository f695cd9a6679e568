#include "model/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/status.h"
#include "model/checkpoint/find_tokenizer.h"
#include "model/checkpoint/gguf_model.h"
#include "model/checkpoint/hf_directory.h"
#include "model/checkpoint/llama2c.h"
#include "model/checkpoint/safetensors.h"

namespace brisk {
namespace {

bool begins_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

absl::Status read_single_file(const std::string& path, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  checkpoint.files.push_back(std::move(file));
  const std::span<const std::byte> bytes = checkpoint.files.back().bytes();
  if (begins_with(bytes, "GGUF")) return read_split_gguf(path, checkpoint);
  if (is_safetensors(bytes)) return read_single_safetensors(path, checkpoint);
  if (is_llama2c(bytes)) return annotate(read_llama2c(bytes, checkpoint), path);
  return invalid_input(
      "{}: not a checkpoint that brisk reads (GGUF, safetensors, llama2.c), or one that is damaged "
      "or not completely downloaded",
      path);
}

// What ends a text may be said by the model's configuration or by its tokenizer: each learns what
// the other knows, as far as the tokenizer has such a token.
void share_end_tokens(Checkpoint& checkpoint) {
  std::vector<int32_t>& model = checkpoint.config.eos_tokens;
  TokenizerData& tokenizer = checkpoint.tokenizer;
  std::vector<int32_t>& ends = tokenizer.rules.end_of_generation;
  const auto add = [](std::vector<int32_t>& tokens, int32_t token) {
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  };
  for (const int32_t token : model) {
    if (token >= 0 && static_cast<size_t>(token) < tokenizer.tokens.size()) add(ends, token);
  }
  for (const int32_t token : ends) add(model, token);
}

}  // namespace

const NamedTensor* Checkpoint::find_weight(std::string_view name) const {
  const auto named = [this](std::string_view at) -> const NamedTensor* {
    const auto it = index.find(absl::string_view(at.data(), at.size()));
    return it == index.end() ? nullptr : &tensors[it->second];
  };
  const NamedTensor* found = named(name);
  if (found != nullptr || config.layout != Layout::kHuggingFace) return found;
  for (const char* prefix : {"transformer.", "language_model.", "model.language_model."}) {
    found = named(fmt::format("{}{}", prefix, name));
    if (found != nullptr) break;
  }
  return found;
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> open_checkpoint(const std::string& path,
                                                                  const OpenOptions& options) {
  auto checkpoint = std::make_shared<Checkpoint>();
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    BRISK_RETURN_IF_ERROR(read_hf_directory(path, *checkpoint));
  } else {
    BRISK_RETURN_IF_ERROR(read_single_file(path, *checkpoint));
  }
  if (checkpoint->tokenizer.kind == TokenizerKind::kNone || !options.tokenizer_path.empty()) {
    BRISK_RETURN_IF_ERROR(find_tokenizer(path, options.tokenizer_path, *checkpoint));
  }
  share_end_tokens(*checkpoint);
  return checkpoint;
}

}  // namespace brisk
