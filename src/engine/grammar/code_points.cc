#include "engine/grammar/code_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace brisk {
namespace {

constexpr uint32_t kLast = 0x10FFFF;
constexpr CodePointRange kSurrogates = {0xD800, 0xDFFF};
constexpr std::array<CodePointRange, 4> kByLength = {
    {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, kLast}}};
constexpr std::array<uint32_t, 4> kLeads = {0, 0xC0, 0xE0, 0xF0};

// Spells ranges of characters of one length, byte by byte from the first.
class Utf8Writer {
 public:
  explicit Utf8Writer(Grammar* grammar) : grammar_(*grammar) {}

  // Values low to high in `bytes` bytes, of which the first begins with `lead`.
  void write(CodePointRange range, int bytes, uint32_t lead, std::vector<ExprId>* choices) {
    const uint32_t shift = 6 * static_cast<uint32_t>(bytes - 1);
    const uint32_t mask = (1u << shift) - 1;
    if (bytes == 1) {
      choices->push_back(heads(range.low, range.high, lead));
      return;
    }
    uint32_t low = range.low >> shift;
    uint32_t high = range.high >> shift;
    if (low == high) {
      return add(low, low, lead, {range.low & mask, range.high & mask}, bytes, choices);
    }
    if ((range.low & mask) != 0) {
      add(low, low, lead, {range.low & mask, mask}, bytes, choices);
      ++low;
    }
    const bool is_cut = (range.high & mask) != mask;
    if (is_cut) add(high, high, lead, {0, range.high & mask}, bytes, choices);
    if (is_cut) --high;
    if (low <= high) add(low, high, lead, {0, mask}, bytes, choices);
  }

 private:
  ExprId heads(uint32_t low, uint32_t high, uint32_t lead) {
    return grammar_.byte_range(static_cast<uint8_t>(lead | low), static_cast<uint8_t>(lead | high));
  }

  void add(uint32_t low, uint32_t high, uint32_t lead, CodePointRange rest, int bytes,
           std::vector<ExprId>* choices) {
    std::vector<ExprId> tails;
    write(rest, bytes - 1, 0x80, &tails);
    choices->push_back(
        grammar_.sequence({heads(low, high, lead), grammar_.choice(std::move(tails))}));
  }

  Grammar& grammar_;
};

// What may not stand in a JSON string as it is.
CodePointSet escaped_in_json() {
  CodePointSet set;
  set.add(0, 0x1F);
  set.add('"');
  set.add('\\');
  return set;
}

std::string escape_of(uint32_t code_point) {
  switch (code_point) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", code_point);
  }
}

}  // namespace

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
}

CodePointSet CodePointSet::complement() const {
  CodePointSet result;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges()) {
    if (range.low > next) result.add(next, range.low - 1);
    next = range.high + 1;
  }
  if (next <= kLast) result.add(next, kLast);
  return result;
}

CodePointSet CodePointSet::without(const CodePointSet& other) const {
  CodePointSet either = complement();
  either.add(other);
  return either.complement();
}

std::vector<CodePointRange> CodePointSet::ranges() const {
  std::vector<CodePointRange> cut;
  for (const auto& [low, high] : ranges_) {
    if (low < kSurrogates.low) cut.push_back({low, std::min(high, kSurrogates.low - 1)});
    if (high > kSurrogates.high) cut.push_back({std::max(low, kSurrogates.high + 1), high});
  }
  std::ranges::sort(cut, {}, &CodePointRange::low);
  std::vector<CodePointRange> joined;
  for (const CodePointRange& range : cut) {
    if (!joined.empty() && range.low <= joined.back().high + 1) {
      joined.back().high = std::max(joined.back().high, range.high);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

std::optional<uint32_t> take_code_point(std::string_view* text) {
  if (text->empty()) return std::nullopt;
  const auto first = static_cast<uint8_t>(text->front());
  const size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || text->size() < length) return std::nullopt;
  uint32_t value = length == 1 ? first : first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>((*text)[i]);
    if ((byte & 0xC0) != 0x80) return std::nullopt;
    value = value << 6 | (byte & 0x3Fu);
  }
  const bool is_surrogate = value >= kSurrogates.low && value <= kSurrogates.high;
  const CodePointRange& range = kByLength[length - 1];
  if (is_surrogate || value < range.low || value > range.high) return std::nullopt;
  text->remove_prefix(length);
  return value;
}

std::string utf8_of(uint32_t code_point) {
  size_t length = 1;
  while (code_point > kByLength[length - 1].high) ++length;
  std::string bytes(length, '\0');
  for (size_t i = length; i-- > 1;) {
    bytes[i] = static_cast<char>(0x80 | (code_point & 0x3F));
    code_point >>= 6;
  }
  bytes[0] = static_cast<char>(kLeads[length - 1] | code_point);
  return bytes;
}

ExprId utf8_expr(const CodePointSet& set, Grammar* grammar) {
  ByteSet ascii;
  std::vector<ExprId> choices;
  for (const CodePointRange& range : set.ranges()) {
    for (uint32_t byte = range.low; byte <= std::min(range.high, 0x7Fu); ++byte) ascii.set(byte);
    for (size_t length = 2; length <= 4; ++length) {
      const CodePointRange part{std::max(range.low, kByLength[length - 1].low),
                                std::min(range.high, kByLength[length - 1].high)};
      if (part.low > part.high) continue;
      Utf8Writer(grammar).write(part, static_cast<int>(length), kLeads[length - 1], &choices);
    }
  }
  if (ascii.any()) choices.push_back(grammar->bytes(ascii));
  return grammar->choice(std::move(choices));
}

ExprId json_char_expr(const CodePointSet& set, Grammar* grammar) {
  std::vector<ExprId> choices{utf8_expr(set.without(escaped_in_json()), grammar)};
  const CodePointSet escaped = set.without(escaped_in_json().complement());
  for (const CodePointRange& range : escaped.ranges()) {
    for (uint32_t one = range.low; one <= range.high; ++one) {
      choices.push_back(grammar->literal(escape_of(one)));
    }
  }
  return grammar->choice(std::move(choices));
}

std::string json_spelling(std::string_view text) {
  std::string spelled;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || c == '"' || c == '\\') {
      spelled += escape_of(byte);
    } else {
      spelled += c;
    }
  }
  return spelled;
}

}  // namespace brisk
