#include <utility>

#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/json_view.h"
#include "model/tokenizer/tokenizer_files.h"

namespace brisk {
namespace {

// Ids that no token has may make up so much of a vocabulary.
constexpr size_t kUnusedIdsMax = 65536;

// A token as its bytes; those outside the printable alphabet are spelled plainly.
std::string bytes_of(std::string_view token) {
  return bytes_of_printable(token).value_or(std::string(token));
}

absl::Status read_vocabulary(std::string_view text, TokenizerData* data) {
  JsonDocument document;
  const JsonView root = document.parse(text);
  if (!root.is_object()) return invalid_input("the vocabulary is not a JSON object");
  size_t ids_max = kUnusedIdsMax;
  root.for_each_member([&](std::string_view, JsonView) { ++ids_max; });
  absl::Status status;
  root.for_each_member([&](std::string_view token, JsonView value) {
    const int64_t id = value.integer(-1);
    if (!status.ok()) return;
    if (id < 0 || static_cast<size_t>(id) >= ids_max) {
      status = invalid_input("the vocabulary's token \"{}\" has no usable id", token);
      return;
    }
    const auto at = static_cast<size_t>(id);
    if (at >= data->tokens.size()) {
      data->tokens.resize(at + 1);
      data->types.resize(at + 1, TokenType::kUnused);
    }
    data->tokens[at] = bytes_of(token);
    data->types[at] = TokenType::kNormal;
  });
  return status;
}

absl::Status read_merges(std::string_view text, TokenizerData* data) {
  size_t line_number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++line_number;
    if (line.empty() || (line_number == 1 && line.starts_with("#version"))) continue;
    const size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) {
      return invalid_input("line {} of the merges is not two tokens", line_number);
    }
    data->merges.emplace_back(bytes_of(line.substr(0, space)), bytes_of(line.substr(space + 1)));
  }
  if (data->merges.empty()) return invalid_input("the list of merges is empty");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerData> read_gpt2(std::string_view vocabulary, std::string_view merges) {
  TokenizerData data;
  data.kind = TokenizerKind::kByteLevelBpe;
  data.pre_tokenizer = "gpt-2";
  BRISK_RETURN_IF_ERROR(read_vocabulary(vocabulary, &data));
  BRISK_RETURN_IF_ERROR(read_merges(merges, &data));
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (data.tokens[id] != "<|endoftext|>") continue;
    data.types[id] = TokenType::kControl;
    data.rules.bos = data.rules.eos = static_cast<int32_t>(id);
  }
  return data;
}

}  // namespace brisk
