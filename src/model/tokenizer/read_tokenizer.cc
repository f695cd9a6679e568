#include "model/tokenizer/read_tokenizer.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/tokenizer/json_view.h"
#include "model/tokenizer/tokenizer_files.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

char first_character(std::string_view bytes) {
  const size_t at = bytes.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  return at == bytes.npos ? '\0' : bytes[at];
}

// A JSON object that maps tokens to ids; in a tokenizer.json "model" is an object.
bool looks_like_vocabulary(std::string_view bytes) {
  if (first_character(bytes) != '{') return false;
  JsonDocument document;
  const JsonView root = document.parse(bytes);
  return root.is_object() && !root["model"].is_object();
}

bool looks_like_merges(std::string_view bytes) { return bytes.starts_with("#version"); }

// The neighbour that makes a whole of a vocabulary or a list of merges.
absl::StatusOr<fs::path> neighbour(const fs::path& path, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (is_file(path.parent_path() / name)) return path.parent_path() / name;
  }
  return not_found("{} needs {} beside it", path.string(), *names.begin());
}

absl::StatusOr<TokenizerData> read_gpt2_pair(const fs::path& vocabulary, const fs::path& merges) {
  BRISK_ASSIGN_OR_RETURN(const std::string vocabulary_text,
                         read_file(vocabulary.string(), kTokenizerFileBytesMax));
  BRISK_ASSIGN_OR_RETURN(const std::string merges_text,
                         read_file(merges.string(), kTokenizerFileBytesMax));
  auto data = read_gpt2(vocabulary_text, merges_text);
  if (!data.ok()) return annotate(data.status(), vocabulary.string());
  return data;
}

absl::StatusOr<TokenizerData> read_one_file(const fs::path& path) {
  BRISK_ASSIGN_OR_RETURN(const std::string bytes, read_file(path.string(), kTokenizerFileBytesMax));
  if (looks_like_merges(bytes)) {
    BRISK_ASSIGN_OR_RETURN(const fs::path vocabulary,
                           neighbour(path, {"vocab.json", "encoder.json"}));
    return read_gpt2_pair(vocabulary, path);
  }
  if (looks_like_vocabulary(bytes)) {
    BRISK_ASSIGN_OR_RETURN(const fs::path merges, neighbour(path, {"merges.txt", "vocab.bpe"}));
    return read_gpt2_pair(path, merges);
  }
  auto data = read_tokenizer_bytes(bytes);
  if (!data.ok()) return annotate(data.status(), path.string());
  return data;
}

// The first of the files that people put into checkpoints, the most telling ones first.
absl::StatusOr<fs::path> find_in_directory(const fs::path& directory) {
  for (const char* name :
       {"tokenizer.json", "tokenizer.model", "vocab.json", "encoder.json", "tokenizer.bin"}) {
    if (is_file(directory / name)) return directory / name;
  }
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".tiktoken") return entry.path();
  }
  return not_found("{} has no tokenizer.json, tokenizer.model or other tokenizer file",
                   directory.string());
}

// What the configuration beside a tokenizer file adds to it.
absl::Status apply_neighbours(const fs::path& path, TokenizerData* data) {
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    const fs::path config = path.parent_path() / name;
    if (!is_file(config)) continue;
    BRISK_ASSIGN_OR_RETURN(const std::string bytes,
                           read_file(config.string(), kTokenizerFileBytesMax));
    BRISK_RETURN_IF_ERROR(annotate(apply_tokenizer_config(bytes, data), config.string()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerData> read_tokenizer(const std::string& path) {
  fs::path file = path;
  std::error_code error;
  if (fs::is_directory(file, error)) {
    BRISK_ASSIGN_OR_RETURN(file, find_in_directory(file));
  }
  BRISK_ASSIGN_OR_RETURN(TokenizerData data, read_one_file(file));
  BRISK_RETURN_IF_ERROR(apply_neighbours(file, &data));
  return data;
}

absl::StatusOr<TokenizerData> read_tokenizer_bytes(std::string_view bytes) {
  if (bytes.size() > kTokenizerFileBytesMax) {
    return exhausted("{} bytes are more than the limit of {}", bytes.size(),
                     kTokenizerFileBytesMax);
  }
  if (first_character(bytes) == '{') return read_tokenizer_json(bytes);
  if (looks_like_merges(bytes)) {
    return invalid_input("a list of merges is no tokenizer without its vocabulary");
  }
  if (looks_like_tiktoken(bytes)) return read_tiktoken(bytes);
  if (looks_like_llama2c(bytes)) return read_llama2c(bytes);
  if (looks_like_sentencepiece(bytes)) return read_sentencepiece(bytes);
  return invalid_input(
      "not a tokenizer: neither tokenizer.json, SentencePiece, tiktoken nor llama2.c");
}

}  // namespace brisk
