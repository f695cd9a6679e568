// What valijson, which knows nothing of ours, says of a text.
#pragma once

#include <memory>
#include <string>

#include "engine/grammar/token_trie.h"
#include "model/tokenizer/tokenizer.h"

namespace brisk::test {

// Empty: `text` is JSON, and valid against `schema`.
std::string why_invalid(const std::string& schema, const std::string& text);

std::unique_ptr<const Tokenizer> tokenizer_at(const std::string& path);

// Without control tokens.
std::shared_ptr<const TokenTrie> trie_of(const Tokenizer& tokenizer);

}  // namespace brisk::test
