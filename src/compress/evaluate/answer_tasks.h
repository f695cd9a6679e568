// A model's own answers to tasks: greedy, as a chat, many in one batch.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tasks/sample.h"

namespace brisk {

struct AnswerOptions {
  EngineOptions engine;
  std::string lora;           // an adapter's path; empty: none
  std::string chat_template;  // Jinja; empty: the model's own
  int max_tokens = 128;       // of an answer
  int in_flight_max = 256;
};

struct TaskAnswers {
  std::vector<std::string> replies;  // (samples); empty where the prompt fills the context
  int64_t prompts_too_long = 0;
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  double seconds = 0;
};

// Replies to the conversations of `samples` without their last message. `progress` is told how many
// there are. Errors: InvalidArgument when the model cannot chat (no tokenizer, no template), and
// what Engine::create says.
absl::StatusOr<TaskAnswers> answer_tasks(std::shared_ptr<const Model> model,
                                         const std::vector<tasks::Sample>& samples,
                                         const AnswerOptions& options,
                                         const std::function<void(int64_t)>& progress);

}  // namespace brisk
