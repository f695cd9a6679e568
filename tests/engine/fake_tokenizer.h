// A tokenizer small enough to reason about: a byte is its own id, 256 is BOS, 257 ends a turn.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace brisk::test {

inline constexpr int32_t kBos = 256;
inline constexpr int32_t kEnd = 257;

class FakeTokenizer final : public Tokenizer {
 public:
  FakeTokenizer() {
    rules_.bos = kBos;
    rules_.eos = kEnd;
    rules_.end_of_generation = {kEnd};
    rules_.add_bos = true;
    rules_.add_dummy_prefix = false;
  }

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<int32_t> tokens;
    if (options.add_special) tokens.push_back(kBos);
    while (!text.empty()) {
      if (options.parse_special && text.starts_with(kBosText)) {
        tokens.push_back(kBos);
        text.remove_prefix(kBosText.size());
      } else if (options.parse_special && text.starts_with(kEndText)) {
        tokens.push_back(kEnd);
        text.remove_prefix(kEndText.size());
      } else {
        tokens.push_back(static_cast<unsigned char>(text[0]));
        text.remove_prefix(1);
      }
    }
    return tokens;
  }

  std::string decode_token(int32_t token, bool special) const override {
    if (token >= 0 && token < kBos) return std::string(1, static_cast<char>(token));
    if (!special) return "";
    return token == kBos ? std::string(kBosText) : token == kEnd ? std::string(kEndText) : "";
  }

  std::string decode(const std::vector<int32_t>& tokens, bool special) const override {
    std::string text;
    for (const int32_t token : tokens) text += decode_token(token, special);
    return text;
  }

  int32_t vocab_size() const override { return 258; }
  const TokenizerRules& rules() const override { return rules_; }
  bool is_control(int32_t token) const override { return token >= kBos; }
  int32_t find(std::string_view text) const override {
    return text == kBosText ? kBos : text == kEndText ? kEnd : -1;
  }

 private:
  static constexpr std::string_view kBosText = "<s>";
  static constexpr std::string_view kEndText = "<end>";
  TokenizerRules rules_;
};

}  // namespace brisk::test
