#include "model/template/string_literal.h"

#include <charconv>

#include "base/status.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

// What follows a backslash when it stands for one character.
std::string_view simple_escape(char c) {
  switch (c) {
    case '\n':
      return "";  // a line that goes on
    case '\\':
      return "\\";
    case '\'':
      return "'";
    case '"':
      return "\"";
    case 'a':
      return "\a";
    case 'b':
      return "\b";
    case 'f':
      return "\f";
    case 'n':
      return "\n";
    case 'r':
      return "\r";
    case 't':
      return "\t";
    case 'v':
      return "\v";
    default:
      return {};
  }
}

// The code point of `count` digits at `*i`; moves `*i` behind them.
absl::StatusOr<char32_t> read_code(std::string_view text, size_t* i, size_t count, int base) {
  const std::string_view digits = text.substr(*i, count);
  uint32_t code = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
  if (digits.size() < count || result.ptr != digits.data() + count) {
    return invalid_input("a string has a truncated \\x, \\u or \\U escape");
  }
  *i += count;
  if (code > 0x10FFFF) return invalid_input("a string has an illegal Unicode character");
  // Half of a UTF-16 pair is no character, and cannot be written as UTF-8.
  return code >= 0xD800 && code < 0xE000 ? U'\uFFFD' : static_cast<char32_t>(code);
}

size_t octal_digits(std::string_view text, size_t i) {
  size_t count = 0;
  while (count < 3 && i + count < text.size() && text[i + count] >= '0' && text[i + count] <= '7') {
    ++count;
  }
  return count;
}

}  // namespace

absl::StatusOr<std::string> unescaped(std::string_view literal) {
  std::string text;
  for (size_t i = 0; i < literal.size();) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      text += literal[i++];
      continue;
    }
    const char c = literal[i + 1];
    i += 2;
    if (const std::string_view simple = simple_escape(c); simple.data() != nullptr) {
      text += simple;
      continue;
    }
    const size_t octal = octal_digits(literal, i - 1);
    const size_t hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == 'N') return invalid_input("characters by name (\\N) are not supported");
    if (octal == 0 && hex == 0) {
      text += '\\';
      text += c;
      continue;
    }
    if (octal > 0) --i;
    BRISK_ASSIGN_OR_RETURN(const char32_t code,
                           read_code(literal, &i, octal > 0 ? octal : hex, octal > 0 ? 8 : 16));
    append_character(&text, code);
  }
  return text;
}

}  // namespace brisk::jinja
