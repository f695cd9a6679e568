#include "model/checkpoint/find_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/read_tokenizer.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCandidatesMax = 32;

// Tokenizer files beside a model by name, llama2.c's own kind first.
std::vector<std::string> candidates_in(const fs::path& directory) {
  std::vector<std::pair<int, std::string>> ranked;
  std::error_code error;
  fs::directory_iterator entries(directory.empty() ? fs::path(".") : directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path& path = entries->path();
    if (!path.filename().string().starts_with("tok")) continue;
    const std::string extension = path.extension().string();
    const int rank = extension == ".bin" ? 0 : extension == ".model" ? 1 : 2;
    if (rank < 2 || extension == ".json") ranked.emplace_back(rank, path.string());
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> paths;
  paths.reserve(ranked.size());
  for (auto& [rank, path] : ranked) paths.push_back(std::move(path));
  if (paths.size() > kCandidatesMax) paths.resize(kCandidatesMax);
  return paths;
}

absl::Status use_given(const std::string& path, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(TokenizerData data, read_tokenizer(path));
  // A model's table may be padded, but every token must have a row.
  const auto tokens = static_cast<int64_t>(data.tokens.size());
  if (checkpoint.config.vocab_size > 0 && tokens > checkpoint.config.vocab_size) {
    return invalid_input("{}: the tokenizer has {} tokens, but the model only {}", path, tokens,
                         checkpoint.config.vocab_size);
  }
  checkpoint.tokenizer = std::move(data);
  return absl::OkStatus();
}

}  // namespace

absl::Status find_tokenizer(const std::string& model_path, const std::string& tokenizer_path,
                            Checkpoint& checkpoint) {
  if (!tokenizer_path.empty()) return use_given(tokenizer_path, checkpoint);
  std::error_code error;
  const bool directory = fs::is_directory(model_path, error);
  const fs::path place = directory ? fs::path(model_path) : fs::path(model_path).parent_path();
  if (checkpoint.config.layout == Layout::kHuggingFace) {
    const absl::Status status = use_given(place.empty() ? "." : place.string(), checkpoint);
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  }
  for (const std::string& path : candidates_in(place)) {
    absl::StatusOr<TokenizerData> data = read_tokenizer(path);
    if (!data.ok()) continue;  // something else that is called tok*
    if (static_cast<int64_t>(data->tokens.size()) != checkpoint.config.vocab_size) continue;
    checkpoint.tokenizer = std::move(*data);
    break;
  }
  return absl::OkStatus();
}

}  // namespace brisk
