#include "plan/load/chat_client.h"

#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/status.h"
#include "plan/load/server_probe.h"
#include "plan/load/stream_event.h"

namespace brisk {
namespace {

// Hands out conversations and collects replies.
class Exchange {
 public:
  Exchange(const ChatClientOptions& options, const std::vector<Json>& conversations,
           const std::function<void(int64_t)>& progress)
      : options_(options),
        conversations_(conversations),
        progress_(progress),
        replies_(conversations.size()) {}

  // One thread's share: until none is left or something went wrong.
  void work() {
    while (const Json* messages = take()) {
      const size_t index = static_cast<size_t>(messages - conversations_.data());
      absl::StatusOr<ChatReply> reply = ask_one(*messages);
      absl::MutexLock lock(&mutex_);
      if (!reply.ok()) {
        status_.Update(reply.status());
        return;
      }
      replies_[index] = *std::move(reply);
      progress_(++done_);
    }
  }

  absl::StatusOr<std::vector<ChatReply>> result() {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    return std::move(replies_);
  }

 private:
  const Json* take() {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok() || next_ == conversations_.size()) return nullptr;
    return &conversations_[next_++];
  }

  absl::StatusOr<ChatReply> ask_one(const Json& messages) const {
    const auto answer = ask(options_.target, "/v1/chat/completions", chat_body(options_, messages),
                            std::chrono::seconds(options_.timeout_s));
    if (!answer.ok()) return answer.status();
    if (answer->status != 200) {
      return system_error("{} answers {}: {}", to_url(options_.target), answer->status,
                          error_message(answer->body));
    }
    absl::StatusOr<ChatReply> reply = parse_chat_reply(answer->body);
    if (!reply.ok()) return annotate(reply.status(), to_url(options_.target));
    return reply;
  }

  const ChatClientOptions& options_;
  const std::vector<Json>& conversations_;
  const std::function<void(int64_t)>& progress_;

  absl::Mutex mutex_;
  std::vector<ChatReply> replies_ ABSL_GUARDED_BY(mutex_);
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

int64_t count_at(const Json& json, const char* pointer) {
  const auto at = Json::json_pointer(pointer);
  return json.contains(at) && json[at].is_number_unsigned() ? json[at].get<int64_t>() : 0;
}

}  // namespace

std::string chat_body(const ChatClientOptions& options, const Json& messages) {
  return to_text({{"model", options.model},
                  {"messages", messages},
                  {"temperature", 0},
                  {"max_tokens", options.max_tokens}});
}

absl::StatusOr<ChatReply> parse_chat_reply(std::string_view body) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(body));
  const auto message = Json::json_pointer("/choices/0/message");
  if (!json.is_object() || !json.contains(message) || !json[message].is_object()) {
    return invalid_input("the server's answer has no choices[0].message");
  }
  ChatReply reply;
  const auto content = json[message].find("content");
  if (content != json[message].end() && content->is_string()) {
    reply.text = content->get<std::string>();
  } else if (content != json[message].end() && !content->is_null()) {
    return invalid_input("the content of the server's answer is not a string");
  }
  reply.prompt_tokens = count_at(json, "/usage/prompt_tokens");
  reply.completion_tokens = count_at(json, "/usage/completion_tokens");
  return reply;
}

absl::StatusOr<std::vector<ChatReply>> ask_chats(const ChatClientOptions& options,
                                                 const std::vector<Json>& conversations,
                                                 const std::function<void(int64_t)>& progress) {
  Exchange exchange(options, conversations, progress);
  std::vector<std::thread> threads;
  const size_t count =
      std::min(static_cast<size_t>(std::max(options.concurrency, 1)), conversations.size());
  for (size_t i = 0; i < count; ++i) threads.emplace_back([&exchange] { exchange.work(); });
  for (std::thread& thread : threads) thread.join();
  return exchange.result();
}

}  // namespace brisk
