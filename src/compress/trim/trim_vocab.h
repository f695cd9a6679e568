// A model that knows fewer tokens: embedding, head and tokenizer without what a corpus never uses.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace brisk {

// The tokens that stay, ascending: those of the texts and what they are merged from, so that these
// texts are cut as before; all special, control and user-defined tokens; all bytes, so that any
// other text still has tokens. `tokenizer` was made of `data`.
std::vector<int32_t> tokens_to_keep(const TokenizerData& data, const Tokenizer& tokenizer,
                                    const std::vector<std::string>& texts);

// The tokenizer of the kept tokens, which get the ids 0, 1, 2, ... in their order.
// REQUIRES: `kept` is ascending and has all tokens that rules name.
TokenizerData trim_tokenizer(const TokenizerData& data, const std::vector<int32_t>& kept);

struct TrimResult {
  uint64_t bytes = 0;  // of the weights file
  int64_t tokens_before = 0;
  int64_t tokens = 0;
};

// `in`: any checkpoint with a tokenizer; `out`: a name ending in .gguf, or a directory. Every
// format keeps the bytes of its rows. Errors: InvalidArgument when there is no tokenizer or no
// text.
absl::StatusOr<TrimResult> trim_vocab(const std::string& in, const std::string& out,
                                      const std::vector<std::string>& texts,
                                      const std::string& tokenizer_path);

}  // namespace brisk
