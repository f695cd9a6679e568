#include "engine/text_stream.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), begins_character);
}

// The longest border of the first n bytes, to which the matcher falls back.
std::vector<int> borders(std::string_view text) {
  std::vector<int> border(text.size() + 1, 0);
  int length = 0;
  for (size_t n = 1; n < text.size(); ++n) {
    while (length > 0 && text[n] != text[static_cast<size_t>(length)]) {
      length = border[static_cast<size_t>(length)];
    }
    if (text[n] == text[static_cast<size_t>(length)]) ++length;
    border[n + 1] = length;
  }
  return border;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const StopStrings>> StopStrings::create(
    std::vector<std::string> strings) {
  if (strings.size() > kStopStringsMax) {
    return invalid_input("{} stop strings; at most {} are allowed", strings.size(),
                         kStopStringsMax);
  }
  auto stops = std::make_shared<StopStrings>();
  for (std::string& text : strings) {
    if (text.empty()) return invalid_input("a stop string must not be empty");
    if (text.size() > kStopStringBytesMax) {
      return invalid_input("a stop string of {} bytes; at most {} are allowed", text.size(),
                           kStopStringBytesMax);
    }
    std::vector<int> border = borders(text);
    stops->patterns_.push_back({.text = std::move(text), .border = std::move(border)});
  }
  return stops;
}

StopStrings::Matcher::Matcher(std::shared_ptr<const StopStrings> strings)
    : strings_(std::move(strings)) {
  if (strings_ != nullptr) matched_.resize(strings_->patterns_.size(), 0);
}

int StopStrings::Matcher::push(char byte) {
  int longest = 0;
  for (size_t i = 0; i < matched_.size(); ++i) {
    const Pattern& pattern = strings_->patterns_[i];
    int& length = matched_[i];
    while (length > 0 && pattern.text[static_cast<size_t>(length)] != byte) {
      length = pattern.border[static_cast<size_t>(length)];
    }
    if (pattern.text[static_cast<size_t>(length)] == byte) ++length;
    if (length == static_cast<int>(pattern.text.size())) longest = std::max(longest, length);
  }
  return longest;
}

int StopStrings::Matcher::bytes_open() const {
  return matched_.empty() ? 0 : *std::max_element(matched_.begin(), matched_.end());
}

TextStream::TextStream(const Tokenizer& tokenizer, TextStreamOptions options)
    : options_(std::move(options)),
      decoder_(tokenizer, options_.first, options_.special),
      matcher_(options_.stops) {}

void TextStream::push(const TokenEvent& event) {
  if (finish_.has_value()) return;
  if (event.token >= 0) {
    ++tokens_;
    logprob_sum_ += static_cast<double>(event.logprob);
    if (event.finish != FinishReason::kStop || options_.include_stop) {
      const int64_t begin = bytes_;
      const int64_t offset = characters_;
      append(decoder_.push(event.token));
      if (options_.keep_tokens && (!hit_stop_string_ || begin < bytes_)) {
        tokens_pending_.push_back({.token = {.token = event.token,
                                             .logprob = event.logprob,
                                             .top = event.top,
                                             .text_offset = offset},
                                   .begin = begin,
                                   .end = bytes_});
      }
    }
  }
  if (event.finish.has_value() && !finish_.has_value()) {
    append(decoder_.finish());
    if (!finish_.has_value()) finish_ = event.finish;
  }
}

void TextStream::append(std::string_view text) {
  for (size_t i = 0; i < text.size() && tokens_ > options_.min_tokens; ++i) {
    const int stop_bytes = matcher_.push(text[i]);
    if (stop_bytes == 0) continue;
    const int64_t stop_end = bytes_ + static_cast<int64_t>(i) + 1;
    pending_ += text;
    bytes_ += static_cast<int64_t>(text.size());
    // All of it is pending: nothing of what may be a stop string is ever taken.
    const auto stop_begin = static_cast<size_t>(stop_end - stop_bytes - bytes_) + pending_.size();
    stop_string_ = pending_.substr(stop_begin, static_cast<size_t>(stop_bytes));
    cut(options_.include_stop ? stop_end : stop_end - stop_bytes);
    finish_ = FinishReason::kStop;
    hit_stop_string_ = true;
    return;
  }
  pending_ += text;
  bytes_ += static_cast<int64_t>(text.size());
  characters_ += count_characters(text);
}

// Shortens the text to its first `end` bytes, and drops the tokens that begin behind them.
void TextStream::cut(int64_t end) {
  pending_.resize(pending_.size() - static_cast<size_t>(bytes_ - end));
  bytes_ = end;
  while (!tokens_pending_.empty() && tokens_pending_.back().begin >= end)
    tokens_pending_.pop_back();
}

TextDelta TextStream::take() {
  const size_t open = finish_.has_value() ? 0 : static_cast<size_t>(matcher_.bytes_open());
  const int64_t decided = bytes_ - static_cast<int64_t>(open);
  TextDelta delta;
  delta.text = pending_.substr(0, pending_.size() - open);
  pending_.erase(0, pending_.size() - open);
  while (!tokens_pending_.empty() &&
         (finish_.has_value() || tokens_pending_.front().end <= decided)) {
    delta.tokens.push_back(std::move(tokens_pending_.front().token));
    tokens_pending_.pop_front();
  }
  return delta;
}

bool begins_text(const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  return std::all_of(prompt.begin(), prompt.end(),
                     [&](int32_t token) { return tokenizer.is_control(token); });
}

}  // namespace brisk
