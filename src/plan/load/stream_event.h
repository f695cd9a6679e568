// What one event of a completion stream says, found by looking for keys instead of parsing: a load
// generator reads an event for every token of a thousand streams.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace brisk {

struct StreamUsage {
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t cached_tokens = 0;
};

struct StreamEvent {
  bool output = false;  // carries a token: text, a tool call, or a token that has no text
  bool done = false;    // "[DONE]"
  std::optional<StreamUsage> usage;
  // Of an error, as it stands in the JSON; a view into the data. Empty when there is none.
  std::string_view error;
};

// `data` of a stream of /v1/completions or /v1/chat/completions; it may be anything. In well-formed
// JSON a quote inside a string is escaped, so that `"text":` can only be a key.
StreamEvent read_stream_event(std::string_view data);

// The "message" of an error's JSON, else its beginning; at most 200 bytes. A view into `body`.
std::string_view error_message(std::string_view body);

}  // namespace brisk
