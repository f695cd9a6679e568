// Conversations that a server of OpenAI's API is to continue, several at a time.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "plan/load/target.h"

namespace brisk {

struct ChatClientOptions {
  LoadTarget target;
  std::string model;
  int max_tokens = 128;  // of an answer
  int concurrency = 8;   // questions under way at once
  int timeout_s = 120;   // of one
};

struct ChatReply {
  std::string text;
  int64_t prompt_tokens = 0;  // as the server says; 0 when it does not
  int64_t completion_tokens = 0;
};

// The body of a request whose "messages" are `messages`: greedy, and not streamed.
std::string chat_body(const ChatClientOptions& options, const Json& messages);

// Errors: InvalidArgument when it is no answer to a chat.
absl::StatusOr<ChatReply> parse_chat_reply(std::string_view body);

// The replies in the order of the conversations, each a list of messages. `progress` is told how
// many there are, by one thread at a time. Stops at the first error: Unavailable when the server
// cannot be reached or refuses (with what it says), InvalidArgument when it answers something else.
absl::StatusOr<std::vector<ChatReply>> ask_chats(const ChatClientOptions& options,
                                                 const std::vector<Json>& conversations,
                                                 const std::function<void(int64_t)>& progress);

}  // namespace brisk
