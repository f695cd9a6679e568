#include "model/tokenizer/vocabulary.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kTokensMax = size_t{1} << 24;
// Long runs of spaces are the longest tokens there are; merging costs the square of the length.
constexpr size_t kPlainTokenBytesMax = 1024;
constexpr size_t kSpecialTokenBytesMax = 16 * 1024;

bool is_special(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUserDefined ||
         type == TokenType::kUnknown || type == TokenType::kUnused;
}

absl::Status check_rules(const TokenizerRules& rules, size_t tokens) {
  const auto check = [tokens](const char* name, int32_t id) -> absl::Status {
    if (id >= -1 && (id < 0 || static_cast<size_t>(id) < tokens)) return absl::OkStatus();
    return invalid_input("the tokenizer's {} token is {}, but there are {} tokens", name, id,
                         tokens);
  };
  BRISK_RETURN_IF_ERROR(check("bos", rules.bos));
  BRISK_RETURN_IF_ERROR(check("eos", rules.eos));
  BRISK_RETURN_IF_ERROR(check("unknown", rules.unknown));
  BRISK_RETURN_IF_ERROR(check("padding", rules.pad));
  for (const auto* list : {&rules.end_of_generation, &rules.prefix, &rules.suffix}) {
    for (const int32_t id : *list) {
      BRISK_RETURN_IF_ERROR(check("special", id));
      if (id < 0) return invalid_input("the tokenizer lists the token -1 as special");
    }
  }
  if (rules.add_bos && rules.prefix.empty() && rules.bos < 0) {
    return invalid_input("the tokenizer adds a bos token but has none");
  }
  if (rules.add_eos && rules.suffix.empty() && rules.eos < 0) {
    return invalid_input("the tokenizer adds an eos token but has none");
  }
  return absl::OkStatus();
}

absl::Status check(const TokenizerData& data) {
  const size_t count = data.tokens.size();
  if (count == 0) return invalid_input("the tokenizer has no tokens");
  if (count > kTokensMax) return invalid_input("{} tokens are more than {}", count, kTokensMax);
  if (!data.types.empty() && data.types.size() != count) {
    return invalid_input("the tokenizer has {} tokens but {} token types", count,
                         data.types.size());
  }
  if (!data.scores.empty() && data.scores.size() != count) {
    return invalid_input("the tokenizer has {} tokens but {} scores", count, data.scores.size());
  }
  for (size_t i = 0; i < data.scores.size(); ++i) {
    if (!std::isfinite(data.scores[i])) return invalid_input("token {}'s score is not finite", i);
  }
  for (size_t i = 0; i < count; ++i) {
    const bool special = !data.types.empty() && is_special(data.types[i]);
    const size_t limit = special ? kSpecialTokenBytesMax : kPlainTokenBytesMax;
    if (data.tokens[i].size() > limit) {
      return invalid_input("token {} is {} bytes long, more than {}", i, data.tokens[i].size(),
                           limit);
    }
  }
  for (const AddedToken& token : data.added) {
    if (token.id < 0 || static_cast<size_t>(token.id) >= count) {
      return invalid_input("the added token {} is not one of the {} tokens", token.id, count);
    }
  }
  return check_rules(data.rules, count);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The byte that "<0xAB>" spells, or -1.
int spelled_byte(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const int high = hex_digit(text[3]);
  const int low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace

absl::StatusOr<Vocabulary> Vocabulary::create(TokenizerData* data) {
  BRISK_RETURN_IF_ERROR(check(*data));
  Vocabulary vocabulary;
  vocabulary.tokens_ = std::move(data->tokens);
  vocabulary.types_ = std::move(data->types);
  vocabulary.types_.resize(vocabulary.tokens_.size(), TokenType::kNormal);
  vocabulary.byte_tokens_.fill(-1);
  vocabulary.ids_.reserve(vocabulary.tokens_.size());
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    vocabulary.ids_.try_emplace(vocabulary.text(id), id);
    const int byte = vocabulary.byte_of(id);
    if (byte < 0) continue;
    int32_t& slot = vocabulary.byte_tokens_[static_cast<size_t>(byte)];
    if (slot < 0) slot = id;
  }
  return vocabulary;
}

int32_t Vocabulary::find_plain(std::string_view text) const {
  const int32_t id = find(text);
  if (id < 0) return -1;
  switch (type(id)) {
    case TokenType::kNormal:
    case TokenType::kUserDefined:
    case TokenType::kUnused:
      return id;
    case TokenType::kUnknown:
    case TokenType::kControl:
    case TokenType::kByte:
      return -1;
  }
  return -1;
}

int Vocabulary::byte_of(int32_t id) const {
  return type(id) == TokenType::kByte ? spelled_byte(text(id)) : -1;
}

bool Vocabulary::has_all_byte_tokens() const {
  return std::all_of(byte_tokens_.begin(), byte_tokens_.end(), [](int32_t id) { return id >= 0; });
}

}  // namespace brisk
