#include "model/tokenizer/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

// ICU puts marks into canonical order by insertion, which is quadratic in their number. Longer
// runs than this are put in order before ICU sees them.
constexpr size_t kMarksMax = 32;

// ICU counts in 32 bits.
constexpr size_t kChunkBytesMax = size_t{1} << 28;

struct Mark {
  uint8_t combining_class;
  uint32_t code;
};

void append_in_order(std::vector<Mark>* marks, std::string* text) {
  if (marks->size() > kMarksMax) {
    std::stable_sort(marks->begin(), marks->end(), [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
  }
  for (const Mark& mark : *marks) utf8_append(mark.code, text);
  marks->clear();
}

// `text` with long runs of marks in canonical order: canonically equivalent to it, so its
// normalisation is the same.
std::string with_marks_in_order(std::string_view text) {
  std::string ordered;
  ordered.reserve(text.size());
  std::vector<Mark> marks;
  while (!text.empty()) {
    const Utf8Char c = utf8_first(text);
    const uint8_t combining_class = u_getCombiningClass(static_cast<UChar32>(c.code));
    if (combining_class != 0) {
      marks.push_back({combining_class, c.code});
    } else {
      append_in_order(&marks, &ordered);
      ordered.append(text.substr(0, c.size));
    }
    text.remove_prefix(c.size);
  }
  append_in_order(&marks, &ordered);
  return ordered;
}

bool has_long_mark_run(std::string_view text) {
  size_t run = 0;
  while (!text.empty()) {
    const Utf8Char c = utf8_first(text);
    run = u_getCombiningClass(static_cast<UChar32>(c.code)) != 0 ? run + 1 : 0;
    if (run > kMarksMax) return true;
    text.remove_prefix(c.size);
  }
  return false;
}

const icu::Normalizer2* icu_form(NormalizerStep::Kind form, UErrorCode* error) {
  using Kind = NormalizerStep::Kind;
  if (form == Kind::kNfc) return icu::Normalizer2::getNFCInstance(*error);
  if (form == Kind::kNfd) return icu::Normalizer2::getNFDInstance(*error);
  if (form == Kind::kNfkc) return icu::Normalizer2::getNFKCInstance(*error);
  BRISK_CHECK(form == Kind::kNfkd);
  return icu::Normalizer2::getNFKDInstance(*error);
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 128; });
}

// Where to cut a chunk off `text`: before the last byte that starts a character.
size_t chunk_size(std::string_view text) {
  if (text.size() <= kChunkBytesMax) return text.size();
  size_t size = kChunkBytesMax;
  while ((static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) --size;
  return size;
}

}  // namespace

bool is_space(uint32_t code) { return u_isUWhiteSpace(static_cast<UChar32>(code)) != 0; }

bool is_word_character(uint32_t code) {
  const uint32_t category = U_GET_GC_MASK(static_cast<UChar32>(code));
  return (category & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK | U_GC_PC_MASK)) != 0;
}

std::string normalized(NormalizerStep::Kind form, std::string_view text) {
  if (is_ascii(text)) return std::string(text);
  std::string ordered;
  if (has_long_mark_run(text)) {
    ordered = with_marks_in_order(text);
    text = ordered;
  }
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* icu_normalizer = icu_form(form, &error);
  std::string result;
  while (!text.empty() && U_SUCCESS(error)) {
    const std::string_view chunk = text.substr(0, chunk_size(text));
    icu::StringByteSink<std::string> sink(&result, static_cast<int32_t>(chunk.size()));
    icu_normalizer->normalizeUTF8(
        0, icu::StringPiece(chunk.data(), static_cast<int32_t>(chunk.size())), sink, nullptr,
        error);
    text.remove_prefix(chunk.size());
  }
  // Only a machine out of memory or without ICU's data gets here with text left: it stays as it is.
  result.append(text);
  return result;
}

std::string lowercased(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = utf8_first(text);
    if (c.code == 0x130) {
      lower.append("i\xCC\x87");  // the one character whose lower case is two
    } else {
      utf8_append(static_cast<uint32_t>(u_tolower(static_cast<UChar32>(c.code))), &lower);
    }
    text.remove_prefix(c.size);
  }
  return lower;
}

std::string accents_stripped(std::string_view text) {
  std::string stripped;
  stripped.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = utf8_first(text);
    if (u_charType(static_cast<UChar32>(c.code)) != U_NON_SPACING_MARK) {
      stripped.append(text.substr(0, c.size));
    }
    text.remove_prefix(c.size);
  }
  return stripped;
}

}  // namespace brisk
