#include "plan/load/stream_event.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace brisk {
namespace {

constexpr size_t kMessageBytesMax = 200;

// `text` from the first `needle` on, the needle taken off; null data when there is none. glibc's
// memmem is several times faster here than string_view::find, which stops at every quote.
std::string_view after(std::string_view text, std::string_view needle) {
  const void* found = ::memmem(text.data(), text.size(), needle.data(), needle.size());
  if (found == nullptr) return {};
  const auto at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
  return text.substr(at + needle.size());
}

std::string_view without_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

// What follows `"key":`, from its first character to the end of `text`; empty when there is none.
// `key` comes with its quotes.
std::string_view value_of(std::string_view text, std::string_view key) {
  while (true) {
    text = after(text, key);
    if (text.empty()) return {};
    const std::string_view value = without_blanks(text);
    if (value.starts_with(':')) return without_blanks(value.substr(1));
  }
}

bool has_text(std::string_view data) {
  for (const std::string_view key :
       {R"("text")", R"("content")", R"("reasoning_content")", R"("reasoning")"}) {
    const std::string_view value = value_of(data, key);
    if (value.size() > 1 && value[0] == '"' && value[1] != '"') return true;
  }
  const std::string_view calls = value_of(data, R"("tool_calls")");
  return calls.starts_with('[') && !without_blanks(calls.substr(1)).starts_with(']');
}

// A chunk without text is still a token (half a character, a special token), unless it only opens
// or closes the answer.
bool is_token_without_text(std::string_view data) {
  const std::string_view reason = value_of(data, R"("finish_reason")");
  const bool open = reason.empty() || reason.starts_with("null");
  return open && value_of(data, R"("role")").empty();
}

int64_t number_at(std::string_view data, std::string_view key) {
  const std::string_view value = value_of(data, key);
  int64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return std::max<int64_t>(number, 0);
}

// The string that `text` begins with, without its quotes, escapes as they are.
std::string_view quoted(std::string_view text) {
  if (!text.starts_with('"')) return {};
  text.remove_prefix(1);
  size_t end = 0;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  return text.substr(0, end);
}

}  // namespace

StreamEvent read_stream_event(std::string_view data) {
  StreamEvent event;
  if (data == "[DONE]") {
    event.done = true;
    return event;
  }
  const std::string_view choices = value_of(data, R"("choices")");
  const bool chosen =
      choices.starts_with('[') && !without_blanks(choices.substr(1)).starts_with(']');
  if (chosen) {
    event.output = has_text(data) || is_token_without_text(data);
  } else if (const auto error = value_of(data, R"("error")");
             !error.empty() && !error.starts_with("null")) {
    event.error = error_message(data);
  }
  const std::string_view usage = value_of(data, R"("usage")");
  if (usage.starts_with('{')) {
    event.usage = {.prompt_tokens = number_at(usage, R"("prompt_tokens")"),
                   .output_tokens = number_at(usage, R"("completion_tokens")"),
                   .cached_tokens = number_at(usage, R"("cached_tokens")")};
  }
  return event;
}

std::string_view error_message(std::string_view body) {
  const std::string_view message = quoted(value_of(body, R"("message")"));
  return (message.empty() ? body : message).substr(0, kMessageBytesMax);
}

}  // namespace brisk
