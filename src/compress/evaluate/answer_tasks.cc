#include "compress/evaluate/answer_tasks.h"

#include <algorithm>
#include <deque>

#include "base/clock.h"
#include "base/status.h"
#include "engine/text_stream.h"
#include "model/template/chat_template.h"
#include "model/template/choose.h"

namespace brisk {
namespace {

// Conversations as the tokens of a prompt.
class Prompts {
 public:
  static absl::StatusOr<Prompts> create(const Model& model, const std::string& chat_template) {
    if (model.tokenizer == nullptr) {
      return invalid_input("{}: no tokenizer found; give one with --tokenizer", model.name);
    }
    std::string source = chat_template;
    if (source.empty()) {
      auto chosen = choose_chat_template(model.checkpoint->chat_template, *model.tokenizer);
      if (!chosen.ok()) {
        return invalid_input("tasks are asked as chats, and {}; name one with --chat-template",
                             message_of(chosen.status()));
      }
      source = *std::move(chosen);
    }
    Prompts prompts(*model.tokenizer);
    BRISK_ASSIGN_OR_RETURN(prompts.template_, ChatTemplate::parse(source));
    return prompts;
  }

  absl::StatusOr<std::vector<int32_t>> prompt_of(const tasks::Sample& sample) const {
    ChatInput input;
    input.messages = OrderedJson::array();
    for (size_t i = 0; i + 1 < sample.messages.size(); ++i) {
      input.messages.push_back({{"role", tasks::name_of(sample.messages[i].role)},
                                {"content", sample.messages[i].content}});
    }
    const TokenizerRules& rules = tokenizer_.rules();
    if (rules.bos >= 0) input.bos_token = tokenizer_.decode_token(rules.bos, true);
    if (rules.eos >= 0) input.eos_token = tokenizer_.decode_token(rules.eos, true);
    BRISK_ASSIGN_OR_RETURN(const OrderedJson variables, template_variables(std::move(input)));
    BRISK_ASSIGN_OR_RETURN(const std::string text, template_->render(variables));
    return tokenizer_.encode(text, {.add_special = false, .parse_special = true});
  }

 private:
  explicit Prompts(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  const Tokenizer& tokenizer_;
  std::shared_ptr<const ChatTemplate> template_;
};

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
  BRISK_ASSIGN_OR_RETURN(const Prompts prompts, Prompts::create(*model, options.chat_template));
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
    BRISK_ASSIGN_OR_RETURN(request.prompt, prompts.prompt_of(samples[i]));
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
