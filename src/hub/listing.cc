#include "hub/listing.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/json.h"
#include "base/split_name.h"
#include "base/status.h"
#include "hub/reference.h"

namespace brisk {
namespace {

constexpr size_t kFilesMax = 20000;
constexpr int64_t kFileBytesMax = int64_t{4} << 40;
constexpr size_t kNamesShown = 30;

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t size_of(const Json& object) {
  const auto found = object.find("size");
  if (found == object.end() || !found->is_number_unsigned()) return -1;
  const auto size = found->get<uint64_t>();
  return size <= static_cast<uint64_t>(kFileBytesMax) ? static_cast<int64_t>(size) : -1;
}

// Whether it can be fetched and checked.
bool read_file_entry(const Json& entry, HubFile* file) {
  if (!entry.is_object()) return false;
  file->path = text_of(entry, "rfilename");
  file->bytes = size_of(entry);
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    file->sha256 = text_of(*lfs, lfs->contains("sha256") ? "sha256" : "oid");
    file->bytes = size_of(*lfs);
    if (!is_hex(file->sha256, 64)) return false;
  } else {
    file->git_sha1 = text_of(entry, "blobId");
    if (!is_hex(file->git_sha1, 40)) return false;
  }
  return file->bytes >= 0 && is_safe_path(file->path);
}

bool is_gguf(const std::string& path) { return lower(path).ends_with(".gguf"); }

// Of a model in several files the first stands for all.
bool is_later_part(const std::string& path) {
  const std::optional<SplitName> split = parse_split_name(path);
  return split.has_value() && split->part > 1;
}

// "models/Small-Q4_K_M.gguf" has the quantisation q4_k_m, "Large-Q8_0-00001-of-00002.gguf" q8_0.
bool has_quantisation(const std::string& path, const std::string& wanted) {
  const std::optional<SplitName> split = parse_split_name(path);
  const std::string name = lower(split.has_value() ? split->stem : path.substr(0, path.size() - 5));
  const std::string end = lower(wanted);
  if (!name.ends_with(end) || name.size() <= end.size()) return false;
  const char before = name[name.size() - end.size() - 1];
  return before == '-' || before == '.' || before == '_' || before == '/';
}

// All files of the model that `path` is, or is a part of; the one to open first.
std::vector<std::string> parts_of(const std::string& path) {
  const std::optional<SplitName> split = parse_split_name(path);
  if (!split.has_value()) return {path};
  std::vector<std::string> parts;
  for (int part = 1; part <= split->parts; ++part) parts.push_back(split->of_part(part));
  return parts;
}

std::string names_of(const std::vector<std::string>& paths) {
  std::string text;
  for (size_t i = 0; i < std::min(paths.size(), kNamesShown); ++i) {
    text += (i > 0 ? ", " : "") + paths[i];
  }
  return paths.size() > kNamesShown ? text + ", ..." : text;
}

// What a Hugging Face directory is made of, weights aside.
bool belongs_to_directory(const std::string& path) {
  constexpr std::array<std::string_view, 11> kNames = {"config.json",
                                                       "generation_config.json",
                                                       "tokenizer.json",
                                                       "tokenizer.model",
                                                       "tokenizer_config.json",
                                                       "special_tokens_map.json",
                                                       "added_tokens.json",
                                                       "vocab.json",
                                                       "merges.txt",
                                                       "chat_template.jinja",
                                                       "model.safetensors.index.json"};
  return std::ranges::find(kNames, path) != kNames.end();
}

bool is_weights(const std::string& path) {
  return path.find('/') == path.npos && path.ends_with(".safetensors");
}

// Files of other checkpoints ("consolidated.safetensors") stay away where there is a "model...".
bool is_model_weights(const std::string& path) {
  return is_weights(path) && path.starts_with("model");
}

HubChoice choose_directory(const HubListing& listing) {
  const bool named =
      std::ranges::any_of(listing.files, [](const auto& f) { return is_model_weights(f.path); });
  HubChoice choice;
  for (const HubFile& file : listing.files) {
    if (belongs_to_directory(file.path) ||
        (named ? is_model_weights(file.path) : is_weights(file.path))) {
      choice.files.push_back(file);
    }
  }
  return choice;
}

bool has(const HubListing& listing, std::string_view path) {
  return std::ranges::any_of(listing.files, [&](const HubFile& f) { return f.path == path; });
}

}  // namespace

absl::StatusOr<HubListing> parse_listing(std::string_view text) {
  if (text.size() > kListingBytesMax) return invalid_input("the list of files is too long");
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(text));
  if (!json.is_object()) return invalid_input("the list of files is not an object");
  HubListing listing;
  listing.commit = text_of(json, "sha");
  if (!is_hex(listing.commit, 40)) return invalid_input("the list of files names no commit");
  const auto siblings = json.find("siblings");
  if (siblings == json.end() || !siblings->is_array() || siblings->size() > kFilesMax) {
    return invalid_input("the list of files has no files, or too many");
  }
  for (const Json& entry : *siblings) {
    HubFile file;
    if (read_file_entry(entry, &file)) listing.files.push_back(std::move(file));
  }
  return listing;
}

std::string choose_gguf(const std::vector<std::string>& paths, const std::string& wanted) {
  for (const std::string& path : paths) {
    if (path == wanted) return path;
  }
  std::vector<std::string> whole;
  std::ranges::copy_if(paths, std::back_inserter(whole), [](const std::string& path) {
    return is_gguf(path) && !is_later_part(path) && path.find("mmproj") == path.npos;
  });
  std::vector<std::string> order = {wanted};
  if (wanted.empty()) order = {"Q4_K_M", "Q8_0", "Q4_0", "Q5_K_M", "Q6_K", "BF16", "F16"};
  for (const std::string& quantisation : order) {
    for (const std::string& path : whole) {
      if (has_quantisation(path, quantisation)) return path;
    }
  }
  return wanted.empty() && !whole.empty() ? whole.front() : "";
}

absl::StatusOr<HubChoice> choose_files(const HubListing& listing, const std::string& wanted) {
  const bool has_weights =
      std::ranges::any_of(listing.files, [](const auto& f) { return is_weights(f.path); });
  if (wanted.empty() && has_weights && has(listing, "config.json")) {
    return choose_directory(listing);
  }
  std::vector<std::string> paths, ggufs;
  for (const HubFile& file : listing.files) {
    paths.push_back(file.path);
    if (is_gguf(file.path)) ggufs.push_back(file.path);
  }
  const std::string chosen = choose_gguf(wanted.empty() ? ggufs : paths, wanted);
  if (chosen.empty() && wanted.empty()) {
    return not_found("there is neither a GGUF file nor config.json with safetensors; it has {}",
                     names_of(paths));
  }
  if (chosen.empty()) {
    return not_found("nothing in it is called {} or has that quantisation; it has {}", wanted,
                     names_of(ggufs.empty() ? paths : ggufs));
  }
  HubChoice choice = {.files = {}, .open = chosen};
  for (const std::string& path : parts_of(chosen)) {
    const auto file = std::ranges::find(listing.files, path, &HubFile::path);
    if (file == listing.files.end()) return not_found("it lacks {}, a part of the model", path);
    choice.files.push_back(*file);
  }
  choice.open = choice.files.front().path;
  return choice;
}

}  // namespace brisk
