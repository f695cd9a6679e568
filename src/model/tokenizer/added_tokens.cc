#include "model/tokenizer/added_tokens.h"

#include "model/tokenizer/unicode.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

// The last character of `text`, which is not empty; U+FFFD when it is not UTF-8.
Utf8Char utf8_last(std::string_view text) {
  for (size_t size = 1; size <= 4 && size <= text.size(); ++size) {
    const Utf8Char c = utf8_first(text.substr(text.size() - size));
    if (c.state == Utf8State::kValid && c.size == size) return c;
  }
  return {Utf8State::kInvalid, 1, kReplacementCode};
}

bool touches_word(std::string_view before, std::string_view after) {
  return (!before.empty() && is_word_character(utf8_last(before).code)) ||
         (!after.empty() && is_word_character(utf8_first(after).code));
}

size_t trailing_space(std::string_view text) {
  const size_t size = text.size();
  while (!text.empty() && is_space(utf8_last(text).code)) text.remove_suffix(utf8_last(text).size);
  return size - text.size();
}

size_t leading_space(std::string_view text) {
  const size_t size = text.size();
  while (!text.empty() && is_space(utf8_first(text).code)) {
    text.remove_prefix(utf8_first(text).size);
  }
  return size - text.size();
}

}  // namespace

AddedTokens::AddedTokens(const Vocabulary& vocabulary, const std::vector<AddedToken>& tokens)
    : tokens_(tokens) {
  std::vector<Trie::Entry> entries;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    entries.emplace_back(vocabulary.text(tokens_[i].id), static_cast<int32_t>(i));
  }
  trie_ = Trie(std::move(entries));
}

void AddedTokens::cut(std::string_view text, std::vector<Part>* parts) const {
  size_t done = 0;  // everything before is in `parts`
  size_t at = 0;
  while (at < text.size()) {
    if (!trie_.may_start(text[at])) {
      ++at;
      continue;
    }
    const Trie::Match match = trie_.longest_prefix(text.substr(at));
    if (match.size == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(match.value)];
    size_t end = at + match.size;
    if (token.single_word && touches_word(text.substr(0, at), text.substr(end))) {
      at = end;
      continue;
    }
    const std::string_view before = text.substr(done, at - done);
    const size_t swallowed = token.lstrip ? trailing_space(before) : 0;
    if (before.size() > swallowed) {
      parts->push_back({before.substr(0, before.size() - swallowed), -1});
    }
    parts->push_back({text.substr(at, match.size), token.id});
    if (token.rstrip) end += leading_space(text.substr(end));
    done = at = end;
  }
  if (done < text.size()) parts->push_back({text.substr(done), -1});
}

}  // namespace brisk
