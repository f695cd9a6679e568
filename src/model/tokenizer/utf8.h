// UTF-8 one character at a time, from bytes that may be anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace brisk {

enum class Utf8State : uint8_t {
  kValid,
  kInvalid,    // can never become a character
  kTruncated,  // the beginning of a character, cut off by the end of the text
};

struct Utf8Char {
  Utf8State state;
  uint8_t size;   // bytes; not valid: of the maximal subpart (Unicode 15, section 3.9, table 3-8)
  uint32_t code;  // the code point; U+FFFD unless valid
};

inline constexpr uint32_t kReplacementCode = 0xFFFD;
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The first character of `text`. REQUIRES: text is not empty.
Utf8Char utf8_first(std::string_view text);

void utf8_append(uint32_t code, std::string* text);

// The length of the longest prefix that is valid UTF-8.
size_t utf8_valid_prefix(std::string_view text);

// `text` with one U+FFFD for every maximal subpart that is not UTF-8.
std::string utf8_repaired(std::string_view text);

// `text` with control characters and what is not UTF-8 written as \x1B, so that it can neither
// begin a line nor command a terminal; cut after about `bytes_max`, with "..." where it was.
std::string utf8_printable(std::string_view text, size_t bytes_max);

}  // namespace brisk
