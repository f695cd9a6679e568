#include "model/tokenizer/charsmap.h"

#include <cstring>

#include "base/status.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

// Real tables have sequences of up to 18 bytes and replacements of up to 33. The limits keep a
// forged table from taking quadratic time or memory.
constexpr size_t kSequenceBytesMax = 64;
constexpr size_t kReplacementBytesMax = 256;

// A unit of the double array.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

uint32_t read_u32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace

absl::StatusOr<Charsmap> Charsmap::create(std::string_view blob) {
  if (blob.size() < 4) return invalid_input("the normalisation table is cut off");
  const uint32_t trie_bytes = read_u32(blob.data());
  blob.remove_prefix(4);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > blob.size()) {
    return invalid_input("the normalisation table's trie is {} bytes of {}", trie_bytes,
                         blob.size());
  }
  Charsmap map;
  map.units_.resize(trie_bytes / 4);
  for (size_t i = 0; i < map.units_.size(); ++i) map.units_[i] = read_u32(blob.data() + i * 4);
  map.pool_ = blob.substr(trie_bytes);
  return map;
}

std::optional<std::string_view> Charsmap::replacement_at(uint32_t offset) const {
  if (offset >= pool_.size()) return std::nullopt;
  const std::string_view rest = std::string_view(pool_).substr(offset, kReplacementBytesMax + 1);
  const size_t end = rest.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  return rest.substr(0, end);
}

std::optional<Charsmap::Match> Charsmap::longest_match(std::string_view text) const {
  std::optional<Match> longest;
  uint32_t node = offset_of(units_[0]);
  for (size_t i = 0; i < text.size() && i < kSequenceBytesMax; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (node >= units_.size()) break;
    if (!has_leaf(unit)) continue;
    if (const auto replacement = replacement_at(value_of(units_[node]))) {
      longest = {i + 1, *replacement};
    }
  }
  return longest;
}

std::string Charsmap::apply(std::string_view text, const Trie& verbatim) const {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    size_t size = verbatim.longest_prefix(text).size;
    if (size == 0) {
      if (const auto match = longest_match(text)) {
        result.append(match->replacement);
        text.remove_prefix(match->size);
        continue;
      }
      size = utf8_first(text).size;
    }
    result.append(text.substr(0, size));
    text.remove_prefix(size);
  }
  return result;
}

}  // namespace brisk
