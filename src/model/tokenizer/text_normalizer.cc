#include "model/tokenizer/text_normalizer.h"

#include <utility>

#include "base/status.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/vocabulary.h"

namespace brisk {
namespace {

using Kind = NormalizerStep::Kind;

constexpr size_t kStepsMax = 32;
constexpr size_t kGrowthMax = 64;
constexpr size_t kGrowthSlack = 1024;

std::string replace_all(std::string_view text, const NormalizerStep& step, size_t bytes_max) {
  std::string result;
  while (result.size() <= bytes_max) {
    const size_t found = step.pattern.empty() ? text.npos : text.find(step.pattern);
    result.append(text.substr(0, found));
    if (found == text.npos) break;
    result.append(step.content);
    text.remove_prefix(found + step.pattern.size());
  }
  return result;
}

std::string replace_matches(std::string_view text, const Regex& regex, std::string_view content,
                            size_t bytes_max) {
  std::string result;
  size_t done = 0;
  regex.for_each_match(text, [&](size_t begin, size_t end) {
    if (result.size() > bytes_max) return;
    result.append(text.substr(done, begin - done));
    result.append(content);
    done = end;
  });
  result.append(text.substr(done));
  return result;
}

std::string_view stripped_left(std::string_view text) {
  while (!text.empty() && is_space(utf8_first(text).code)) {
    text.remove_prefix(utf8_first(text).size);
  }
  return text;
}

std::string_view stripped_right(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_first(text.substr(at));
    at += c.size;
    if (!is_space(c.code)) end = at;
  }
  return text.substr(0, end);
}

}  // namespace

absl::StatusOr<TextNormalizer> TextNormalizer::create(const TokenizerData& data, Trie verbatim) {
  TextNormalizer normalizer;
  normalizer.rules_ = data.rules;
  normalizer.verbatim_ = std::move(verbatim);
  bool has_charsmap_step = false;
  for (const NormalizerStep& step : data.normalizers) {
    Step made{step, nullptr};
    if (step.kind == Kind::kReplaceRegex) {
      BRISK_ASSIGN_OR_RETURN(Regex regex, Regex::compile(step.pattern));
      made.regex = std::make_shared<const Regex>(std::move(regex));
    }
    has_charsmap_step |= step.kind == Kind::kCharsmap;
    normalizer.steps_.push_back(std::move(made));
  }
  if (!data.charsmap.empty()) {
    BRISK_ASSIGN_OR_RETURN(normalizer.charsmap_, Charsmap::create(data.charsmap));
    if (!has_charsmap_step) normalizer.steps_.push_back({{.kind = Kind::kCharsmap}, nullptr});
  }
  if (normalizer.steps_.size() > kStepsMax) {
    return invalid_input("a normalizer of {} steps is longer than {}", normalizer.steps_.size(),
                         kStepsMax);
  }
  return normalizer;
}

std::string TextNormalizer::apply(const Step& step, std::string_view text, size_t bytes_max) const {
  switch (step.step.kind) {
    case Kind::kNfc:
    case Kind::kNfd:
    case Kind::kNfkc:
    case Kind::kNfkd:
      return normalized(step.step.kind, text);
    case Kind::kLowercase:
      return lowercased(text);
    case Kind::kStripAccents:
      return accents_stripped(text);
    case Kind::kStripLeft:
      return std::string(stripped_left(text));
    case Kind::kStripRight:
      return std::string(stripped_right(text));
    case Kind::kPrepend:
      return text.empty() ? std::string() : step.step.content + std::string(text);
    case Kind::kReplace:
      return replace_all(text, step.step, bytes_max);
    case Kind::kReplaceRegex:
      return replace_matches(text, *step.regex, step.step.content, bytes_max);
    case Kind::kCharsmap:
      return charsmap_ ? charsmap_->apply(text, verbatim_) : std::string(text);
  }
  return std::string(text);
}

// SentencePiece's treatment of spaces: extra ones removed, one put before the text, all visible.
std::string TextNormalizer::with_spaces_settled(std::string_view text, bool begins_text) const {
  const bool squeeze = rules_.remove_extra_whitespaces;
  if (squeeze) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  }
  std::string result;
  if (text.empty()) return result;
  result.reserve(text.size() + text.size() / 4);
  const std::string_view space = rules_.escape_whitespaces ? kSpaceSymbol : " ";
  const bool wants_prefix = rules_.add_dummy_prefix && (begins_text || !rules_.prefix_first_only);
  const bool has_prefix = rules_.prefix_if_missing &&
                          (text.front() == ' ' || text.substr(0, kSpaceSymbol.size()) == space);
  if (wants_prefix && !has_prefix) result.append(space);
  bool after_space = false;
  for (const char c : text) {
    if (c != ' ') {
      result.push_back(c);
    } else if (!squeeze || !after_space) {
      result.append(space);
    }
    after_space = c == ' ';
  }
  // A text may have ended in visible spaces of its own; SentencePiece removes them too.
  while (squeeze && result.ends_with(space)) result.resize(result.size() - space.size());
  return result;
}

std::string TextNormalizer::normalize(std::string_view text, bool begins_text) const {
  std::string now(text);
  const size_t bytes_max = text.size() * kGrowthMax + kGrowthSlack;
  for (const Step& step : steps_) {
    // Bytes that are not UTF-8 stay where they are, between the parts that can be normalised.
    std::string next;
    std::string_view rest = now;
    while (!rest.empty() && next.size() <= bytes_max) {
      const size_t valid = utf8_valid_prefix(rest);
      if (valid > 0) next.append(apply(step, rest.substr(0, valid), bytes_max));
      rest.remove_prefix(valid);
      if (rest.empty()) break;
      const size_t invalid = utf8_first(rest).size;
      next.append(rest.substr(0, invalid));
      rest.remove_prefix(invalid);
    }
    if (next.size() <= bytes_max) now = std::move(next);
  }
  return with_spaces_settled(now, begins_text);
}

}  // namespace brisk
