// Texts as Python sees them: sequences of code points, held as UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace brisk::jinja {

bool is_utf8(std::string_view bytes);

// `bytes` with everything that is not UTF-8 replaced by U+FFFD.
std::string valid_utf8(std::string_view bytes);

// The functions below REQUIRE valid UTF-8.

// The code point at `*offset`, which moves behind it. REQUIRES: *offset < text.size().
char32_t next_character(std::string_view text, size_t* offset);
void append_character(std::string* text, char32_t character);

size_t count_characters(std::string_view text);
// Where the character with this number starts; text.size() when there are fewer.
size_t offset_of_character(std::string_view text, size_t number);

// Python's str.isspace, str.isprintable, and the line ends of str.splitlines.
bool is_space(char32_t character);
bool is_printable(char32_t character);
bool is_line_end(char32_t character);

enum class CharacterClass : uint8_t { kAlpha, kDecimal, kDigit, kNumeric, kAlnum, kSpace };
// Python's str.isalpha and its sisters: all characters are of the class, and there is one.
bool all_of_class(std::string_view text, CharacterClass wanted);

bool is_upper(std::string_view text);
bool is_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);  // Every Word Starts High
std::string capitalized(std::string_view text);

enum class Side : uint8_t { kLeft, kRight, kBoth };
// A part of `text`: without the white space at its ends.
std::string_view strip(std::string_view text, Side side);
// A part of `text`: without those of `characters` that stand at its ends.
std::string_view strip(std::string_view text, std::string_view characters, Side side);

}  // namespace brisk::jinja
