#include "model/tokenizer/utf8.h"

#include <fmt/format.h>

namespace brisk {
namespace {

// How a character that starts with some byte goes on. Only the second byte's range depends on the
// first one (it excludes overlong forms, surrogates and what lies beyond U+10FFFF).
struct Lead {
  uint8_t size;  // 0: no character starts so
  uint8_t bits;  // of the code point in the first byte
  uint8_t second_min;
  uint8_t second_max;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, byte, 0, 0};
  if (byte < 0xC2) return {0, 0, 0, 0};
  if (byte < 0xE0) return {2, static_cast<uint8_t>(byte & 0x1F), 0x80, 0xBF};
  if (byte < 0xF0) {
    const uint8_t min = byte == 0xE0 ? 0xA0 : 0x80;
    const uint8_t max = byte == 0xED ? 0x9F : 0xBF;
    return {3, static_cast<uint8_t>(byte & 0x0F), min, max};
  }
  if (byte < 0xF5) {
    const uint8_t min = byte == 0xF0 ? 0x90 : 0x80;
    const uint8_t max = byte == 0xF4 ? 0x8F : 0xBF;
    return {4, static_cast<uint8_t>(byte & 0x07), min, max};
  }
  return {0, 0, 0, 0};
}

}  // namespace

Utf8Char utf8_first(std::string_view text) {
  const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
  if (lead.size == 0) return {Utf8State::kInvalid, 1, kReplacementCode};
  uint32_t code = lead.bits;
  for (uint8_t i = 1; i < lead.size; ++i) {
    if (i == text.size()) return {Utf8State::kTruncated, i, kReplacementCode};
    const auto byte = static_cast<uint8_t>(text[i]);
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) return {Utf8State::kInvalid, i, kReplacementCode};
    code = (code << 6) | (byte & 0x3FU);
  }
  return {Utf8State::kValid, lead.size, code};
}

void utf8_append(uint32_t code, std::string* text) {
  if (code < 0x80) {
    text->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    text->push_back(static_cast<char>(0xC0 | (code >> 6)));
    text->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    text->push_back(static_cast<char>(0xE0 | (code >> 12)));
    text->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    text->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    text->push_back(static_cast<char>(0xF0 | (code >> 18)));
    text->push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3F)));
    text->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    text->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

size_t utf8_valid_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Char c = utf8_first(text.substr(at));
    if (c.state != Utf8State::kValid) break;
    at += c.size;
  }
  return at;
}

std::string utf8_repaired(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = utf8_valid_prefix(text);
    repaired.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    repaired.append(kReplacement);
    text.remove_prefix(utf8_first(text).size);
  }
  return repaired;
}

std::string utf8_printable(std::string_view text, size_t bytes_max) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= bytes_max) return out + "...";
    const Utf8Char first = utf8_first(text);
    const bool control = first.code < 0x20 || (first.code >= 0x7F && first.code < 0xA0);
    const std::string_view bytes = text.substr(0, first.size);
    if (first.state == Utf8State::kValid && !control) {
      out += bytes;
    } else {
      for (const char byte : bytes) out += fmt::format("\\x{:02X}", static_cast<uint8_t>(byte));
    }
    text.remove_prefix(first.size);
  }
  return out;
}

}  // namespace brisk
