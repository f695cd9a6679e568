#include "model/template/text_split.h"

#include <algorithm>
#include <string>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/unicode.h"

namespace brisk::jinja {

absl::StatusOr<Pieces> split_words(Runtime& runtime, std::string_view text, size_t splits_max,
                                   bool from_right) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.size() / 16));
  Pieces words;
  const Side near = from_right ? Side::kRight : Side::kLeft;
  for (text = strip(text, near); !text.empty(); text = strip(text, near)) {
    BRISK_RETURN_IF_ERROR(runtime.spend_bytes(sizeof(std::string_view)));
    if (words.size() == splits_max) {
      words.push_back(text);
      break;
    }
    size_t word = 0;  // bytes of the word at the near end
    while (word < text.size()) {
      size_t next = word;
      if (from_right) {
        size_t start = text.size() - word - 1;
        while ((static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
        size_t end = start;
        if (is_space(next_character(text, &end))) break;
        next = text.size() - start;
      } else if (is_space(next_character(text, &next))) {
        break;
      }
      word = next;
    }
    words.push_back(from_right ? text.substr(text.size() - word) : text.substr(0, word));
    from_right ? text.remove_suffix(word) : text.remove_prefix(word);
  }
  if (from_right) std::reverse(words.begin(), words.end());
  return words;
}

absl::StatusOr<Pieces> split_at(Runtime& runtime, std::string_view text, std::string_view separator,
                                size_t splits_max) {
  Pieces pieces;
  size_t start = 0;
  while (pieces.size() < splits_max) {
    BRISK_RETURN_IF_ERROR(runtime.spend_bytes(sizeof(std::string_view)));
    const size_t at = find_text(text, separator, start);
    if (at == std::string_view::npos) break;
    pieces.push_back(text.substr(start, at - start));
    start = at + separator.size();
  }
  pieces.push_back(text.substr(start));
  return pieces;
}

absl::StatusOr<Pieces> split_at_from_right(Runtime& runtime, std::string_view text,
                                           std::string_view separator, size_t splits_max) {
  // Occurrences found from the right: those of the reversed text, found from the left.
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_separator(separator.rbegin(), separator.rend());
  BRISK_RETURN_IF_ERROR(runtime.spend_bytes(text.size()));
  BRISK_ASSIGN_OR_RETURN(const Pieces mirrored,
                         split_at(runtime, reversed_text, reversed_separator, splits_max));
  Pieces pieces;
  for (const std::string_view piece : mirrored) {
    const auto start = static_cast<size_t>(piece.data() - reversed_text.data());
    pieces.push_back(text.substr(text.size() - start - piece.size(), piece.size()));
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

absl::StatusOr<Pieces> lines_of(Runtime& runtime, std::string_view text) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.size() / 16));
  Pieces lines;
  size_t start = 0;
  for (size_t offset = 0; offset < text.size();) {
    const size_t at = offset;
    const char32_t c = next_character(text, &offset);
    if (!is_line_end(c)) continue;
    if (c == U'\r' && offset < text.size() && text[offset] == '\n') ++offset;
    BRISK_RETURN_IF_ERROR(runtime.spend_bytes(sizeof(std::string_view)));
    lines.push_back(text.substr(start, at - start));
    start = offset;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

}  // namespace brisk::jinja
