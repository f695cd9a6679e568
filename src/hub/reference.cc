#include "hub/reference.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/status.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNameBytesMax = 96;  // the hub's own limit
constexpr size_t kPathBytesMax = 512;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// Of an organisation or a model.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && text[0] != '.' && text[0] != '-' &&
         std::ranges::all_of(text, is_name_character) && text.find("..") == text.npos &&
         text.find("--") == text.npos;  // which the cache puts between the two
}

bool is_repo(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != text.npos && is_name(text.substr(0, slash)) && is_name(text.substr(slash + 1));
}

}  // namespace

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kPathBytesMax) return false;
  const auto is_bad = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\' || c == ':';
  };
  if (std::ranges::any_of(path, is_bad)) return false;
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

absl::StatusOr<HubReference> parse_hub_reference(std::string_view text) {
  const size_t colon = text.find(':');
  HubReference reference = {.repo = std::string(text.substr(0, colon))};
  if (!is_repo(reference.repo)) {
    return invalid_input("{} is not the name of a model on a hub: write ORG/NAME or ORG/NAME:FILE",
                         text.substr(0, 200));
  }
  if (colon == text.npos) return reference;
  reference.file = text.substr(colon + 1);
  if (!is_safe_path(reference.file)) {
    return invalid_input("{}: what stands after the colon is neither a file nor a quantisation",
                         text.substr(0, 200));
  }
  return reference;
}

bool means_hub(const std::string& text) {
  const auto reference = parse_hub_reference(text);
  if (!reference.ok()) return false;
  std::error_code ignored;
  if (fs::exists(text, ignored)) return false;
  if (fs::exists(text.substr(0, text.find('/')), ignored)) return false;
  constexpr std::array<std::string_view, 4> kFiles = {".gguf", ".bin", ".safetensors", ".toml"};
  return std::ranges::none_of(kFiles,
                              [&](std::string_view end) { return reference->repo.ends_with(end); });
}

}  // namespace brisk
