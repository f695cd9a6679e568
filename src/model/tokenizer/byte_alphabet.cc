#include "model/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

namespace brisk {
namespace {

// Bytes that are visible in Latin-1 stand for themselves; the other 68 take U+0100 and up, in
// order.
constexpr bool is_visible(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr int kCharacterCount = 0x144;  // one past the last character of the alphabet

struct Alphabet {
  std::array<uint16_t, 256> character_of_byte{};
  std::array<int16_t, kCharacterCount> byte_of_character{};

  constexpr Alphabet() {
    byte_of_character.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const int character = is_visible(byte) ? byte : next++;
      character_of_byte[static_cast<size_t>(byte)] = static_cast<uint16_t>(character);
      byte_of_character[static_cast<size_t>(character)] = static_cast<int16_t>(byte);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

std::optional<std::string> bytes_of_printable(std::string_view printable) {
  std::string bytes;
  bytes.reserve(printable.size());
  for (size_t i = 0; i < printable.size(); ++i) {
    // Every character of the alphabet is below U+0800: one or two bytes of UTF-8.
    uint32_t character = static_cast<unsigned char>(printable[i]);
    if (character >= 0x80) {
      if ((character & 0xE0) != 0xC0 || i + 1 == printable.size()) return std::nullopt;
      const auto second = static_cast<unsigned char>(printable[++i]);
      if ((second & 0xC0) != 0x80) return std::nullopt;
      character = ((character & 0x1F) << 6) | (second & 0x3FU);
    }
    if (character >= kCharacterCount) return std::nullopt;
    const int byte = kAlphabet.byte_of_character[character];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

std::string printable_of_bytes(std::string_view bytes) {
  std::string printable;
  printable.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const uint32_t character = kAlphabet.character_of_byte[static_cast<unsigned char>(c)];
    if (character < 0x80) {
      printable.push_back(static_cast<char>(character));
    } else {
      printable.push_back(static_cast<char>(0xC0 | (character >> 6)));
      printable.push_back(static_cast<char>(0x80 | (character & 0x3F)));
    }
  }
  return printable;
}

}  // namespace brisk
