// The tokens of a tokenizer by id and by spelling.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// U+2581, SentencePiece's visible space.
inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";

// Immutable after construction; any thread may read it.
class Vocabulary {
 public:
  // Takes the tokens and types out of `data`.
  // Errors: InvalidArgument when there are no tokens, too many or too long ones, when the arrays
  // disagree, or when a rule names a token that does not exist.
  static absl::StatusOr<Vocabulary> create(TokenizerData* data);

  Vocabulary(const Vocabulary&) = delete;
  Vocabulary(Vocabulary&&) = default;

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size(); }

  // REQUIRES (both): contains(id).
  const std::string& text(int32_t id) const { return tokens_[static_cast<size_t>(id)]; }
  TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }

  // -1: none. Of tokens that are spelled alike the first one counts.
  int32_t find(std::string_view text) const {
    const auto it = ids_.find(text);
    return it == ids_.end() ? -1 : it->second;
  }

  // The like, but only a token that may come out of plain text.
  int32_t find_plain(std::string_view text) const;

  // SentencePiece's token for a byte that no piece covers, or -1.
  int32_t byte_token(uint8_t byte) const { return byte_tokens_[byte]; }
  // Which byte a token of type kByte stands for; -1: none.
  int byte_of(int32_t id) const;
  bool has_all_byte_tokens() const;

 private:
  Vocabulary() = default;

  std::vector<std::string> tokens_;
  std::vector<TokenType> types_;
  absl::flat_hash_map<std::string_view, int32_t> ids_;  // views into tokens_
  std::array<int32_t, 256> byte_tokens_{};
};

}  // namespace brisk
