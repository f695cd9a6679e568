#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/utf8.h"

namespace brisk {

TextDecoder::TextDecoder(const Tokenizer& tokenizer, bool first, bool special)
    : tokenizer_(tokenizer),
      spaces_to_drop_(first ? tokenizer.leading_spaces_dropped() : 0),
      special_(special) {}

std::string TextDecoder::push(int32_t token) {
  std::string bytes = tokenizer_.decode_token(token, special_);
  tokenizer_.drop_leading_spaces(token, &spaces_to_drop_, &bytes);
  pending_ += bytes;
  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const size_t valid = utf8_valid_prefix(rest);
    text.append(rest.substr(0, valid));
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    const Utf8Char c = utf8_first(rest);
    if (c.state == Utf8State::kTruncated) break;
    text.append(kReplacement);
    rest.remove_prefix(c.size);
  }
  pending_ = std::string(rest);
  return text;
}

std::string TextDecoder::finish() {
  const std::string text = utf8_repaired(pending_);
  pending_.clear();
  return text;
}

}  // namespace brisk
