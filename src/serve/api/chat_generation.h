// A chat's answers as they come about: text, and the calls of tools in it. What the answer to the
// client looks like is the caller's business.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/served_model.h"
#include "serve/api/text_generation.h"
#include "serve/tools/tool_call_parser.h"

namespace brisk::api {

enum class ChatFinish : uint8_t { kStop, kLength, kToolCalls };

std::string_view finish_name(ChatFinish finish);  // "stop", "length", "tool_calls"

// News of one choice.
struct ChatDelta {
  int choice = 0;
  std::vector<AnswerPiece> pieces;
  std::vector<TextToken> tokens;     // for log-probabilities
  std::optional<ChatFinish> finish;  // then nothing more comes
  std::string stop_string;           // that ended it, if one did
};

// Used by one thread at a time. Its end cancels what still runs.
class ChatGeneration {
 public:
  // Renders, checks and submits. Errors: InvalidArgument with the field at fault, NotFound for
  // the model, and the engine's. It is listed as `id` while it runs.
  static absl::StatusOr<std::unique_ptr<ChatGeneration>> start(const ModelLease& model,
                                                               ChatRequest chat, std::string id,
                                                               const http::Wakeup& wakeup);

  // As TextGeneration.
  absl::StatusOr<std::vector<ChatDelta>> poll();
  bool done() const { return run_->done(); }
  Usage usage() const { return run_->usage(); }
  int choices() const { return run_->choices(); }
  std::vector<PromptLogprob> prompt_logprobs() const { return run_->prompt_logprobs(0); }

  const Tokenizer& tokenizer() const { return tokenizer_; }
  // As the model's templates take them.
  std::string new_call_id(std::string_view prefix = "call_") const {
    return new_tool_call_id(syntax_, prefix);
  }

 private:
  struct Choice {
    std::unique_ptr<ToolCallParser> parser;  // null: all is text
    int calls = 0;
  };

  ChatGeneration(const Tokenizer& tokenizer, ToolCallSyntax syntax, bool is_parallel)
      : tokenizer_(tokenizer), syntax_(syntax), is_parallel_(is_parallel) {}
  ChatDelta read(ChoiceDelta delta);

  const Tokenizer& tokenizer_;
  const ToolCallSyntax syntax_;
  const bool is_parallel_;  // more than the first call of an answer counts
  std::unique_ptr<TextGeneration> run_;
  std::vector<Choice> choices_;
};

// The prompt of `chat` as the model sees it: what `start` would submit. For those who count.
absl::StatusOr<std::vector<int32_t>> chat_prompt(const ServedModel& model, const ChatRequest& chat);

// The engine's refusals of a request begin with the name of the field.
absl::Status blame_field(absl::Status status);

}  // namespace brisk::api
