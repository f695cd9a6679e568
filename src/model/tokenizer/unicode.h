// Unicode operations on UTF-8 that take linear time on any text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// White_Space of the Unicode Character Database.
bool is_space(uint32_t code);

// What \w matches: letters, marks, digits, connectors.
bool is_word_character(uint32_t code);

// REQUIRES (all): `text` is UTF-8.

// NFC, NFD, NFKC or NFKD. REQUIRES: `form` is one of those.
std::string normalized(NormalizerStep::Kind form, std::string_view text);

std::string lowercased(std::string_view text);

// Without nonspacing marks.
std::string accents_stripped(std::string_view text);

}  // namespace brisk
