// Tokens that are found in a text as they are spelled, before anything else happens to it.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/trie.h"
#include "model/tokenizer/vocabulary.h"

namespace brisk {

// Immutable; any thread may call it.
class AddedTokens {
 public:
  // A stretch of text without added tokens, or one added token.
  struct Part {
    std::string_view text;
    int32_t token = -1;
  };

  AddedTokens() = default;

  // `tokens` must be of `vocabulary`, which need not outlive this. Those without spelling are
  // never found.
  AddedTokens(const Vocabulary& vocabulary, const std::vector<AddedToken>& tokens);

  bool empty() const { return tokens_.empty(); }

  // Appends the parts of `text`: from left to right, the longest token at each position. Parts of
  // text are never empty.
  void cut(std::string_view text, std::vector<Part>* parts) const;

  // The spellings, for normalisers that must not touch them; views into the vocabulary.
  Trie spellings() const { return trie_; }

 private:
  std::vector<AddedToken> tokens_;
  Trie trie_;  // spelling -> position in tokens_
};

}  // namespace brisk
