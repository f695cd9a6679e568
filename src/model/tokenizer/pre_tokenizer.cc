#include "model/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

// How much of a text a pattern of unknown cost sees at a time.
constexpr size_t kPieceBytes = 16 * 1024;

constexpr size_t kStepsMax = 32;

bool is_family_pattern(std::string_view pattern) {
  for (const PreTokenizerFamily& family : pre_tokenizer_families()) {
    const auto& patterns = family.patterns;
    if (std::find(patterns.begin(), patterns.end(), pattern) != patterns.end()) return true;
  }
  return false;
}

// Where to cut a piece of at most kPieceBytes off `text`: before the last space after something
// else, so that words stay whole; in the middle of a word that is longer than a piece.
size_t piece_size(std::string_view text) {
  if (text.size() <= kPieceBytes) return text.size();
  size_t size = kPieceBytes;
  while (size > 1 && !(text[size] == ' ' && text[size - 1] != ' ')) --size;
  if (size > 1) return size;
  size = kPieceBytes;
  while ((static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) --size;
  return size;
}

}  // namespace

absl::StatusOr<SplitPattern> SplitPattern::create(SplitStep step) {
  SplitPattern pattern(std::move(step));
  pattern.is_trailing_space_ = pattern.step_.pattern == R"(\s+$)";
  pattern.is_known_linear_ = pattern.is_trailing_space_ || is_family_pattern(pattern.step_.pattern);
  BRISK_ASSIGN_OR_RETURN(Regex regex, Regex::compile(pattern.step_.pattern));
  pattern.regex_ = std::make_shared<const Regex>(std::move(regex));
  return pattern;
}

// `text` as alternating matches and what lies between them.
void SplitPattern::find_parts(std::string_view text, std::vector<Part>* parts) const {
  size_t done = 0;
  regex_->for_each_match(text, [&](size_t begin, size_t end) {
    if (begin > done) parts->push_back({text.substr(done, begin - done), step_.invert});
    if (end > begin) parts->push_back({text.substr(begin, end - begin), !step_.invert});
    done = end;
  });
  if (done < text.size()) parts->push_back({text.substr(done), step_.invert});
}

void SplitPattern::find_trailing_space(std::string_view text, std::vector<Part>* parts) const {
  size_t end = 0;  // of the last character that is no space
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Char c = utf8_first(text.substr(at));
    at += c.size;
    if (!is_space(c.code)) end = at;
  }
  if (end > 0) parts->push_back({text.substr(0, end), step_.invert});
  if (end < text.size()) parts->push_back({text.substr(end), !step_.invert});
}

void SplitPattern::split(std::string_view text, std::vector<std::string_view>* words) const {
  std::vector<Part> parts;
  if (is_trailing_space_) {
    find_trailing_space(text, &parts);
  } else if (is_known_linear_) {
    find_parts(text, &parts);
  } else {
    for (std::string_view rest = text; !rest.empty();) {
      const size_t size = piece_size(rest);
      find_parts(rest.substr(0, size), &parts);
      rest.remove_prefix(size);
    }
  }
  using Behavior = SplitStep::Behavior;
  const size_t first_word = words->size();
  // Parts lie side by side, so the last word grows by the bytes of the next part.
  const auto extend_last = [&](const Part& part) {
    std::string_view& last = words->back();
    last = {last.data(), last.size() + part.text.size()};
  };
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const bool has_word = words->size() > first_word;
    const bool after_match = i > 0 && parts[i - 1].is_match;
    bool joins = false;
    switch (step_.behavior) {
      case Behavior::kIsolated:
        break;
      case Behavior::kRemoved:
        if (part.is_match) continue;
        break;
      case Behavior::kMergedWithPrevious:
        joins = part.is_match && !after_match;
        break;
      case Behavior::kMergedWithNext:
        joins = after_match && !part.is_match;
        break;
      case Behavior::kContiguous:
        joins = i > 0 && part.is_match == after_match;
        break;
    }
    if (joins && has_word) {
      extend_last(part);
    } else {
      words->push_back(part.text);
    }
  }
}

absl::StatusOr<PreTokenizer> PreTokenizer::create(const TokenizerData& data) {
  std::vector<SplitStep> steps = data.splits;
  if (!data.pre_tokenizer.empty()) {
    const PreTokenizerFamily* family = find_pre_tokenizer_family(data.pre_tokenizer);
    if (family == nullptr) {
      return unsupported("the pre-tokenizer '{}' is not one that brisk knows", data.pre_tokenizer);
    }
    for (const std::string_view pattern : family->patterns) {
      steps.push_back({.pattern = std::string(pattern)});
    }
  }
  if (steps.size() > kStepsMax) {
    return invalid_input("a pre-tokenizer of {} steps is longer than {}", steps.size(), kStepsMax);
  }
  PreTokenizer pre_tokenizer;
  for (SplitStep& step : steps) {
    BRISK_ASSIGN_OR_RETURN(SplitPattern pattern, SplitPattern::create(std::move(step)));
    pre_tokenizer.steps_.push_back(std::move(pattern));
  }
  return pre_tokenizer;
}

void PreTokenizer::split_valid(std::string_view text, std::vector<std::string_view>* words) const {
  std::vector<std::string_view> now = {text};
  std::vector<std::string_view> next;
  for (const SplitPattern& step : steps_) {
    next.clear();
    for (const std::string_view word : now) step.split(word, &next);
    now.swap(next);
  }
  words->insert(words->end(), now.begin(), now.end());
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>* words) const {
  while (!text.empty()) {
    const size_t valid = utf8_valid_prefix(text);
    if (valid > 0) split_valid(text.substr(0, valid), words);
    size_t end = valid;
    while (end < text.size() && utf8_first(text.substr(end)).state != Utf8State::kValid) {
      end += utf8_first(text.substr(end)).size;
    }
    if (end > valid) words->push_back(text.substr(valid, end - valid));
    text.remove_prefix(end);
  }
}

}  // namespace brisk
