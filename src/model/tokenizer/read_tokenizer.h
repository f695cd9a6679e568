// Tokenizer files of every common kind, recognised by what they contain and not by their names:
// tokenizer.json, SentencePiece's tokenizer.model, tiktoken ranks (llama3's tokenizer.model,
// qwen.tiktoken), llama2.c's tokenizer.bin, and GPT-2's vocabulary with its list of merges.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// Reads the tokenizer in the file `path`, or in the directory `path` (a Hugging Face checkpoint).
// What lies beside the file is used where it adds something: tokenizer_config.json (which tokens
// begin and end a text), merges.txt or vocab.bpe for a vocabulary, and the other way round.
// Errors name the file: NotFound when there is no tokenizer, InvalidArgument when a file is
// malformed, Unimplemented for tokenizers that brisk does not know (WordPiece, ...).
absl::StatusOr<TokenizerData> read_tokenizer(const std::string& path);

// The same for one file's contents in memory, without neighbours. A GPT-2 vocabulary needs its
// merges, so it is an error here.
absl::StatusOr<TokenizerData> read_tokenizer_bytes(std::string_view bytes);

}  // namespace brisk
