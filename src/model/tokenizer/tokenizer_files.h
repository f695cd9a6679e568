// The readers behind read_tokenizer, one for each kind of file. Each says whether bytes look like
// its kind (cheaply, without a promise), and reads them.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// Files larger than this are refused: the largest real one has 34 MB.
inline constexpr size_t kTokenizerFileBytesMax = size_t{256} << 20;

// SentencePiece's tokenizer.model, a protocol buffer.
bool looks_like_sentencepiece(std::string_view bytes);
absl::StatusOr<TokenizerData> read_sentencepiece(std::string_view bytes);

// llama2.c's tokenizer.bin: the longest token's length, then (score, length, text) for each token.
bool looks_like_llama2c(std::string_view bytes);
absl::StatusOr<TokenizerData> read_llama2c(std::string_view bytes);

// tiktoken's lines of base64 and rank. Which model they belong to shows in the number of ranks; it
// decides the pre-tokeniser and the special tokens.
bool looks_like_tiktoken(std::string_view bytes);
absl::StatusOr<TokenizerData> read_tiktoken(std::string_view bytes);

// tokenizer.json.
absl::StatusOr<TokenizerData> read_tokenizer_json(std::string_view bytes);

// GPT-2's vocabulary ("encoder.json", "vocab.json") and merges ("vocab.bpe", "merges.txt").
absl::StatusOr<TokenizerData> read_gpt2(std::string_view vocabulary, std::string_view merges);

// What tokenizer_config.json and special_tokens_map.json add: which tokens begin and end a text.
absl::Status apply_tokenizer_config(std::string_view bytes, TokenizerData* data);

}  // namespace brisk
