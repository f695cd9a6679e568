#include "serve/api/openai_answer.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/timeout_error.h"

namespace brisk::api {
namespace {

const std::string& echo_of(const AnswerOptions& options, size_t choice) {
  static const std::string kNone;
  return options.echo.empty() ? kNone : options.echo[choice];
}

// The tokens of the prompt before a choice, where they are echoed with their log-probabilities.
std::vector<TextToken> echoed_tokens(const AnswerOptions& options, const TextGeneration& run,
                                     int choice) {
  const std::string& echo = echo_of(options, static_cast<size_t>(choice));
  if (options.echo.empty() || options.logprobs < 0) return {};
  return prompt_text_tokens(*options.tokenizer, run.prompt_logprobs(choice), echo);
}

// The "logprobs" of a choice; `prompt` are echoed before its `tokens`.
Json logprobs_json(const AnswerOptions& options, int choice, std::vector<TextToken> tokens,
                   std::vector<TextToken> prompt = {}) {
  if (options.logprobs < 0) return nullptr;
  const std::string& echo = echo_of(options, static_cast<size_t>(choice));
  return completion_logprobs_json(*options.tokenizer, {.prompt = std::move(prompt),
                                                       .tokens = std::move(tokens),
                                                       .offset = count_characters(echo),
                                                       .top = options.logprobs});
}

void cut_to_nothing(ChoiceDelta* delta) {
  delta->delta = {};
  if (delta->finish.has_value()) delta->finish = FinishReason::kLength;
}

Usage usage_of(const AnswerOptions& options, const TextGeneration& run) {
  Usage usage = run.usage();
  if (options.only_echo) usage.completion_tokens = 0;
  return usage;
}

class WholeAnswer final : public http::PendingResponse {
 public:
  WholeAnswer(AnswerOptions options, std::unique_ptr<TextGeneration> run)
      : options_(std::move(options)),
        run_(std::move(run)),
        choices_(static_cast<size_t>(run_->choices())) {}

  std::optional<http::Response> poll() override {
    absl::StatusOr<std::vector<ChoiceDelta>> deltas = run_->poll();
    if (!deltas.ok()) return openai_error(deltas.status());
    for (ChoiceDelta& delta : *deltas) {
      if (options_.only_echo) cut_to_nothing(&delta);
      Choice& choice = choices_[static_cast<size_t>(delta.choice)];
      choice.text += delta.delta.text;
      std::move(delta.delta.tokens.begin(), delta.delta.tokens.end(),
                std::back_inserter(choice.tokens));
      if (delta.finish.has_value()) choice.finish = *delta.finish;
    }
    if (!run_->done()) return std::nullopt;
    http::Response response;
    response.body = to_text(body());
    return response;
  }

 private:
  struct Choice {
    std::string text;
    std::vector<TextToken> tokens;
    FinishReason finish = FinishReason::kError;
  };

  Json body() const {
    Json choices = Json::array();
    for (const int choice : returned_choices()) {
      choices.push_back(choice_json(choice, static_cast<int>(choices.size())));
    }
    return completion_body(options_.head, std::move(choices), usage_of(options_, *run_));
  }

  // Those with the highest mean log-probability of each prompt, where not all are wanted.
  std::vector<int> returned_choices() const {
    std::vector<int> all(choices_.size());
    std::iota(all.begin(), all.end(), 0);
    if (options_.returned >= options_.best_of) return all;
    std::vector<int> best;
    for (auto group = all.begin(); group != all.end(); group += options_.best_of) {
      if (!options_.best_first) {
        std::ranges::stable_sort(group, group + options_.best_of, std::ranges::greater{},
                                 [this](int choice) { return run_->mean_logprob(choice); });
      }
      best.insert(best.end(), group, group + options_.returned);
    }
    return best;
  }

  Json choice_json(int number, int index) const {
    const Choice& choice = choices_[static_cast<size_t>(number)];
    const std::string& echo = echo_of(options_, static_cast<size_t>(number));
    Json json = {{"index", index},
                 {"finish_reason", finish_name(choice.finish)},
                 {"logprobs", logprobs_json(options_, number, choice.tokens,
                                            echoed_tokens(options_, *run_, number))}};
    json["text"] = echo + choice.text;
    if (options_.prompt_logprobs >= 0) json["prompt_logprobs"] = prompt_json(number);
    return json;
  }

  Json prompt_json(int choice) const {
    return prompt_logprobs_json(*options_.tokenizer, run_->prompt_logprobs(choice),
                                options_.prompt_logprobs);
  }

  const AnswerOptions options_;
  const std::unique_ptr<TextGeneration> run_;
  std::vector<Choice> choices_;
};

class StreamedAnswer final : public http::BodyStream {
 public:
  StreamedAnswer(AnswerOptions options, std::unique_ptr<TextGeneration> run)
      : options_(std::move(options)),
        run_(std::move(run)),
        echoed_(static_cast<size_t>(run_->choices()), false) {}

  bool pull(std::string& out) override {
    absl::StatusOr<std::vector<ChoiceDelta>> deltas = run_->poll();
    if (!deltas.ok()) {
      append_event(out, openai_error_json(to_api_error(deltas.status())));
      return true;
    }
    for (ChoiceDelta& delta : *deltas) {
      if (options_.only_echo) cut_to_nothing(&delta);
      append_completion(out, delta);
    }
    if (!run_->done()) return false;
    if (options_.include_usage) {
      Json chunk = completion_chunk(options_.head, Json::array());
      chunk["usage"] = usage_json(usage_of(options_, *run_));
      append_event(out, chunk);
    }
    out += kDoneEvent;
    return true;
  }

  std::string_view keepalive() const override { return ": waiting\n\n"; }

  void expire(std::string& out) override { append_event(out, openai_error_json(timeout_error())); }

 private:
  // Before the first delta: the prompt's log-probabilities are known then.
  void append_echo(std::string& out, int choice) {
    const auto at = static_cast<size_t>(choice);
    const std::string& echo = echo_of(options_, at);
    if (echoed_[at] || echo.empty()) return;
    echoed_[at] = true;
    append_completion_choice(
        out, choice, echo,
        logprobs_json(options_, choice, {}, echoed_tokens(options_, *run_, choice)), nullptr);
  }

  void append_completion(std::string& out, const ChoiceDelta& delta) {
    append_echo(out, delta.choice);
    append_completion_choice(out, delta.choice, delta.delta.text,
                             logprobs_json(options_, delta.choice, delta.delta.tokens),
                             delta.finish.has_value() ? Json(finish_name(*delta.finish)) : Json());
  }

  void append_completion_choice(std::string& out, int index, const std::string& text, Json logprobs,
                                Json finish) const {
    Json choices = Json::array();
    choices.push_back({{"index", index},
                       {"text", text},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", std::move(finish)}});
    Json chunk = completion_chunk(options_.head, std::move(choices));
    if (options_.include_usage) chunk["usage"] = nullptr;
    append_event(out, chunk);
  }

  const AnswerOptions options_;
  const std::unique_ptr<TextGeneration> run_;
  std::vector<bool> echoed_;  // (choices)
};

}  // namespace

std::unique_ptr<http::PendingResponse> whole_answer(AnswerOptions options,
                                                    std::unique_ptr<TextGeneration> run) {
  return std::make_unique<WholeAnswer>(std::move(options), std::move(run));
}

std::unique_ptr<http::BodyStream> streamed_answer(AnswerOptions options,
                                                  std::unique_ptr<TextGeneration> run) {
  return std::make_unique<StreamedAnswer>(std::move(options), std::move(run));
}

}  // namespace brisk::api
