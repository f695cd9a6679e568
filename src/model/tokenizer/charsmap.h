// SentencePiece's precompiled normalisation table ("nmt_nfkc" and its kin): a double-array trie
// from byte sequences to offsets in a pool of NUL-terminated replacements. Format: 4 bytes
// little-endian, the size of the trie in bytes; the trie, an array of 32-bit units as the
// Darts-clone library lays them out; the pool.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/trie.h"

namespace brisk {

// Immutable; any thread may call it.
class Charsmap {
 public:
  // Errors: InvalidArgument when the sizes do not add up.
  static absl::StatusOr<Charsmap> create(std::string_view blob);

  // `text` with the longest known sequence at every position replaced. Bytes that are not UTF-8
  // and strings in `verbatim` are copied.
  std::string apply(std::string_view text, const Trie& verbatim) const;

 private:
  struct Match {
    size_t size;  // bytes of the text
    std::string_view replacement;
  };

  Charsmap() = default;
  std::optional<Match> longest_match(std::string_view text) const;
  std::optional<std::string_view> replacement_at(uint32_t offset) const;

  std::vector<uint32_t> units_;
  std::string pool_;
};

}  // namespace brisk
