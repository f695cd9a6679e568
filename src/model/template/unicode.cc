#include "model/template/unicode.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

namespace brisk::jinja {
namespace {

constexpr char32_t kInvalid = 0xFFFFFFFF;

// The code point at `*offset`, or kInvalid, with `*offset` moved by one byte.
char32_t decode(std::string_view bytes, size_t* offset) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[*offset + i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  char32_t character = length == 1 ? lead : lead & (0x7Fu >> length);
  bool valid = length > 0 && *offset + length <= bytes.size();
  for (size_t i = 1; valid && i < length; ++i) {
    valid = (byte(i) & 0xC0) == 0x80;
    character = (character << 6) | (byte(i) & 0x3Fu);
  }
  const bool overlong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
  const bool surrogate = character >= 0xD800 && character < 0xE000;
  if (!valid || overlong || surrogate || character > 0x10FFFF) {
    ++*offset;
    return kInvalid;
  }
  *offset += length;
  return character;
}

UChar32 icu(char32_t character) { return static_cast<UChar32>(character); }

icu::UnicodeString to_icu(std::string_view text) {
  return icu::UnicodeString::fromUTF8({text.data(), static_cast<int32_t>(text.size())});
}

std::string from_icu(const icu::UnicodeString& text) {
  std::string utf8;
  text.toUTF8String(utf8);
  return utf8;
}

// Title case, which can be several characters.
void append_title(std::string* text, char32_t c) {
  if (c < 0x80) {
    append_character(text, static_cast<char32_t>(u_totitle(icu(c))));
    return;
  }
  constexpr uint32_t kOneCharacter =
      U_TITLECASE_WHOLE_STRING | U_TITLECASE_NO_LOWERCASE | U_TITLECASE_NO_BREAK_ADJUSTMENT;
  icu::UnicodeString character(icu(c));
  *text += from_icu(character.toTitle(nullptr, icu::Locale::getRoot(), kOneCharacter));
}

bool is_cased(char32_t c) {
  return u_isULowercase(icu(c)) || u_isUUppercase(icu(c)) || u_istitle(icu(c));
}

bool is_of_class(char32_t character, CharacterClass wanted) {
  const int numeric = u_getIntPropertyValue(icu(character), UCHAR_NUMERIC_TYPE);
  switch (wanted) {
    case CharacterClass::kAlpha:
      return u_isalpha(icu(character));
    case CharacterClass::kDecimal:
      return numeric == U_NT_DECIMAL;
    case CharacterClass::kDigit:
      return numeric == U_NT_DECIMAL || numeric == U_NT_DIGIT;
    case CharacterClass::kNumeric:
      return numeric != U_NT_NONE;
    case CharacterClass::kAlnum:
      return u_isalpha(icu(character)) || numeric != U_NT_NONE;
    case CharacterClass::kSpace:
      return is_space(character);
  }
  return false;
}

template <class Predicate>
std::string_view strip_if(std::string_view text, Side side, Predicate drop) {
  while (side != Side::kRight && !text.empty()) {
    size_t next = 0;
    if (!drop(next_character(text, &next))) break;
    text.remove_prefix(next);
  }
  while (side != Side::kLeft && !text.empty()) {
    size_t start = text.size() - 1;
    while ((static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    size_t next = start;
    if (!drop(next_character(text, &next))) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  for (size_t offset = 0; offset < bytes.size();) {
    if (decode(bytes, &offset) == kInvalid) return false;
  }
  return true;
}

std::string valid_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text;
  for (size_t offset = 0; offset < bytes.size();) {
    const char32_t character = decode(bytes, &offset);
    append_character(&text, character == kInvalid ? U'\uFFFD' : character);
  }
  return text;
}

char32_t next_character(std::string_view text, size_t* offset) { return decode(text, offset); }

void append_character(std::string* text, char32_t c) {
  const auto push = [text](char32_t byte) { text->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | (c >> 6));
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | (c >> 12));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | (c >> 18));
    push(0x80 | ((c >> 12) & 0x3F));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (const char byte : text) count += (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  return count;
}

size_t offset_of_character(std::string_view text, size_t number) {
  size_t offset = 0;
  for (; offset < text.size(); ++offset) {
    if ((static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) continue;
    if (number-- == 0) break;
  }
  return offset;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (c == U' ') return true;
  constexpr uint32_t kHidden = U_GC_CN_MASK | U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CS_MASK |
                               U_GC_CO_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK | U_GC_ZS_MASK;
  return (U_GET_GC_MASK(icu(c)) & kHidden) == 0;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool all_of_class(std::string_view text, CharacterClass wanted) {
  for (size_t offset = 0; offset < text.size();) {
    if (!is_of_class(next_character(text, &offset), wanted)) return false;
  }
  return !text.empty();
}

bool is_upper(std::string_view text) {
  bool any = false;
  for (size_t offset = 0; offset < text.size();) {
    const char32_t c = next_character(text, &offset);
    if (u_isULowercase(icu(c)) || u_istitle(icu(c))) return false;
    any |= static_cast<bool>(u_isUUppercase(icu(c)));
  }
  return any;
}

bool is_lower(std::string_view text) {
  bool any = false;
  for (size_t offset = 0; offset < text.size();) {
    const char32_t c = next_character(text, &offset);
    if (u_isUUppercase(icu(c)) || u_istitle(icu(c))) return false;
    any |= static_cast<bool>(u_isULowercase(icu(c)));
  }
  return any;
}

std::string to_upper(std::string_view text) {
  return from_icu(to_icu(text).toUpper(icu::Locale::getRoot()));
}

std::string to_lower(std::string_view text) {
  return from_icu(to_icu(text).toLower(icu::Locale::getRoot()));
}

std::string to_title(std::string_view text) {
  std::string title;
  bool inside_word = false;
  for (size_t offset = 0; offset < text.size();) {
    const char32_t c = next_character(text, &offset);
    if (inside_word)
      append_character(&title, static_cast<char32_t>(u_tolower(icu(c))));
    else
      append_title(&title, c);
    inside_word = is_cased(c);
  }
  return title;
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return "";
  size_t offset = 0;
  std::string result;
  append_title(&result, next_character(text, &offset));
  return result + to_lower(text.substr(offset));
}

std::string_view strip(std::string_view text, Side side) { return strip_if(text, side, is_space); }

std::string_view strip(std::string_view text, std::string_view characters, Side side) {
  return strip_if(text, side, [characters](char32_t wanted) {
    for (size_t offset = 0; offset < characters.size();) {
      if (next_character(characters, &offset) == wanted) return true;
    }
    return false;
  });
}

}  // namespace brisk::jinja
