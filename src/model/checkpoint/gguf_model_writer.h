// The header of a GGUF file for a model and its tokenizer, as other engines expect it too.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/checkpoint/config.h"
#include "model/checkpoint/gguf_writer.h"
#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// `config.architecture` is GGUF's name. Scalings of the rotation that GGUF keeps in tensors
// (llama3, longrope) are the caller's to write. A tokenizer of kind kNone is left out.
// Errors: Unimplemented for tokenizers that GGUF has no name for.
absl::StatusOr<GgufHeader> gguf_header(const ModelConfig& config, const TokenizerData& tokenizer,
                                       std::string_view chat_template);

// Byte-level BPE merges, best first, also for tiktoken files, which rank tokens instead.
std::vector<std::pair<std::string, std::string>> ranked_merges(const TokenizerData& data);

// SentencePiece: whether a text gets a space in front, however the tokenizer's file says it.
bool adds_dummy_prefix(const TokenizerData& data);

}  // namespace brisk
