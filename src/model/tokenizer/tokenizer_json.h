// The parts of a tokenizer.json, as the `tokenizers` library writes it. Each reader adds to `data`
// what its part says.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <string_view>

#include "model/tokenizer/json_view.h"
#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// Sequences within sequences.
inline constexpr int kSequenceDepthMax = 8;

// "normalizer". Errors: Unimplemented for those of BERT and for what nobody uses.
absl::Status read_json_normalizer(JsonView normalizer, TokenizerData* data, int depth = 0);

// "pre_tokenizer". Sets *byte_level when it maps bytes to the printable alphabet.
absl::Status read_json_pre_tokenizer(JsonView pre_tokenizer, TokenizerData* data, bool* byte_level,
                                     int depth = 0);

// "post_processor": the tokens around every text. Ids are checked by Tokenizer::create.
absl::Status read_json_post_processor(JsonView post_processor, TokenizerData* data, int depth = 0);

// Gives the id `id` to the token `text`. Ids without a token are allowed, but not too many.
absl::Status put_token(int64_t id, std::string text, TokenType type, TokenizerData* data);

// The last token that is spelled so, or -1.
int32_t find_token(const TokenizerData& data, std::string_view text);

}  // namespace brisk
