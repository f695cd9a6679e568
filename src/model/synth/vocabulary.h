// Synthetic vocabularies of real sizes: every merge is valid, every text can be encoded, English
// takes about three letters a token.
#pragma once

#include <cstdint>
#include <string>

#include "model/synth/shapes.h"
#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// REQUIRES: 1000 <= size <= 400000.
TokenizerData synthetic_tokenizer(VocabularyStyle style, int32_t size);

// A chat template with the style's own control tokens.
std::string synthetic_chat_template(VocabularyStyle style);

}  // namespace brisk
