// Names of files that are one model in several parts, as llama.cpp's gguf-split writes them:
// "NAME-00001-of-00003.gguf".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace brisk {

inline constexpr int kSplitPartsMax = 9999;

struct SplitName {
  std::string stem;  // all before "-00001-of-"
  int part = 1;      // from 1
  int parts = 1;

  std::string of_part(int number) const;  // the name of another part
};

// Nothing: `path` is no such name.
std::optional<SplitName> parse_split_name(std::string_view path);

}  // namespace brisk
