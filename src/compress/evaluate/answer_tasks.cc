#include "compress/evaluate/answer_tasks.h"

#include <algorithm>
#include <deque>

#include "base/clock.h"
#include "base/status.h"
#include "compress/evaluate/chat_encoder.h"
#include "engine/text_stream.h"

namespace brisk {
namespace {

absl::StatusOr<std::vector<int32_t>> prompt_of(const ChatEncoder& chat,
                                               const tasks::Sample& sample) {
  OrderedJson messages = OrderedJson::array();
  for (size_t i = 0; i + 1 < sample.messages.size(); ++i) {
    messages.push_back({{"role", tasks::name_of(sample.messages[i].role)},
                        {"content", sample.messages[i].content}});
  }
  return chat.encode(std::move(messages), true);
}

struct InFlight {
  size_t index;
  std::shared_ptr<Generation> generation;
};

absl::Status collect(const InFlight& one, const Tokenizer& tokenizer, TaskAnswers* answers) {
  TextStream stream(tokenizer, {});
  std::string& reply = answers->replies[one.index];
  while (!one.generation->done()) {
    for (const TokenEvent& event : one.generation->wait_and_take()) stream.push(event);
    reply += stream.take().text;
  }
  const GenerationStats stats = one.generation->stats();
  answers->prompt_tokens += stats.prompt_tokens;
  answers->completion_tokens += stats.completion_tokens;
  return one.generation->status();
}

}  // namespace

absl::StatusOr<TaskAnswers> answer_tasks(std::shared_ptr<const Model> model,
                                         const std::vector<tasks::Sample>& samples,
                                         const AnswerOptions& options,
                                         const std::function<void(int64_t)>& progress) {
  const auto chat = ChatEncoder::create(*model, options.chat_template);
  if (!chat.ok()) {
    return invalid_input("tasks are asked as chats, and {}; name one with --chat-template",
                         message_of(chat.status()));
  }
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                         Engine::create(model, options.engine));
  std::shared_ptr<const Adapter> adapter;
  if (!options.lora.empty()) {
    BRISK_ASSIGN_OR_RETURN(adapter, engine->adapters().load("lora", options.lora));
  }
  const SteadyClock clock;
  const Instant start = clock.now();
  TaskAnswers answers;
  answers.replies.resize(samples.size());
  std::deque<InFlight> in_flight;
  int64_t done = 0;
  const auto collect_oldest = [&]() -> absl::Status {
    BRISK_RETURN_IF_ERROR(collect(in_flight.front(), *model->tokenizer, &answers));
    in_flight.pop_front();
    progress(++done);
    return absl::OkStatus();
  };
  for (size_t i = 0; i < samples.size(); ++i) {
    Request request;
    BRISK_ASSIGN_OR_RETURN(request.prompt, prompt_of(*chat, samples[i]));
    const int64_t room = engine->context_max() - static_cast<int64_t>(request.prompt.size());
    if (room < 1) {
      ++answers.prompts_too_long;
      progress(++done);
      continue;
    }
    request.max_tokens = static_cast<int>(std::min<int64_t>(options.max_tokens, room));
    request.sampling.temperature = 0;
    request.adapter = adapter;
    while (static_cast<int>(in_flight.size()) >= options.in_flight_max) {
      BRISK_RETURN_IF_ERROR(collect_oldest());
    }
    BRISK_ASSIGN_OR_RETURN(std::shared_ptr<Generation> generation,
                           engine->submit(std::move(request)));
    in_flight.push_back({i, std::move(generation)});
  }
  while (!in_flight.empty()) BRISK_RETURN_IF_ERROR(collect_oldest());
  answers.seconds = seconds_between(start, clock.now());
  return answers;
}

}  // namespace brisk
