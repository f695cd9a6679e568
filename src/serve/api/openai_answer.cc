#include "serve/api/openai_answer.h"

#include <iterator>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

int64_t count_characters(const std::string& text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

// The "logprobs" of a choice; `echo` is the text before it.
Json logprobs_json(const AnswerOptions& options, const std::vector<TextToken>& tokens,
                   const std::string& echo) {
  if (options.logprobs < 0) return nullptr;
  if (options.chat) return chat_logprobs_json(*options.tokenizer, tokens);
  return completion_logprobs_json(*options.tokenizer, tokens, count_characters(echo),
                                  options.logprobs);
}

const std::string& echo_of(const AnswerOptions& options, size_t choice) {
  static const std::string kNone;
  return options.echo.empty() ? kNone : options.echo[choice];
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
    for (size_t i = 0; i < choices_.size(); ++i) {
      const Choice& choice = choices_[i];
      const std::string& echo = echo_of(options_, i);
      Json json = {{"index", i},
                   {"finish_reason", finish_name(choice.finish)},
                   {"logprobs", logprobs_json(options_, choice.tokens, echo)}};
      if (options_.chat) {
        json["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
      } else {
        json["text"] = echo + choice.text;
      }
      choices.push_back(std::move(json));
    }
    return options_.chat ? chat_body(options_.head, std::move(choices), run_->usage())
                         : completion_body(options_.head, std::move(choices), run_->usage());
  }

  const AnswerOptions options_;
  const std::unique_ptr<TextGeneration> run_;
  std::vector<Choice> choices_;
};

class StreamedAnswer final : public http::BodyStream {
 public:
  StreamedAnswer(AnswerOptions options, std::unique_ptr<TextGeneration> run)
      : options_(std::move(options)), run_(std::move(run)) {}

  bool pull(std::string& out) override {
    if (!opened_) open(out);
    opened_ = true;
    absl::StatusOr<std::vector<ChoiceDelta>> deltas = run_->poll();
    if (!deltas.ok()) {
      append_event(out, openai_error_json(to_api_error(deltas.status())));
      return true;
    }
    for (const ChoiceDelta& delta : *deltas) {
      if (options_.chat) append_chat(out, delta);
      if (!options_.chat) append_completion(out, delta);
    }
    if (!run_->done()) return false;
    if (options_.include_usage) {
      Json chunk = make_chunk(Json::array());
      chunk["usage"] = usage_json(run_->usage());
      append_event(out, chunk);
    }
    out += kDoneEvent;
    return true;
  }

  std::string_view keepalive() const override { return ": waiting\n\n"; }

 private:
  void open(std::string& out) {
    for (int i = 0; i < run_->choices(); ++i) {
      const std::string& echo = echo_of(options_, static_cast<size_t>(i));
      if (options_.chat) {
        append_chat_choice(out, i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
      } else if (!echo.empty()) {
        append_completion_choice(out, i, echo, nullptr, nullptr);
      }
    }
  }

  void append_chat(std::string& out, const ChoiceDelta& delta) const {
    if (!delta.delta.empty()) {
      append_chat_choice(out, delta.choice, {{"content", delta.delta.text}},
                         logprobs_json(options_, delta.delta.tokens, ""), nullptr);
    }
    if (delta.finish.has_value()) {
      append_chat_choice(out, delta.choice, Json::object(), nullptr, finish_name(*delta.finish));
    }
  }

  void append_completion(std::string& out, const ChoiceDelta& delta) const {
    const std::string& echo = echo_of(options_, static_cast<size_t>(delta.choice));
    append_completion_choice(out, delta.choice, delta.delta.text,
                             logprobs_json(options_, delta.delta.tokens, echo),
                             delta.finish.has_value() ? Json(finish_name(*delta.finish)) : Json());
  }

  void append_chat_choice(std::string& out, int index, Json delta, Json logprobs,
                          Json finish) const {
    append_choice(out, {{"index", index},
                        {"delta", std::move(delta)},
                        {"logprobs", std::move(logprobs)},
                        {"finish_reason", std::move(finish)}});
  }

  void append_completion_choice(std::string& out, int index, const std::string& text, Json logprobs,
                                Json finish) const {
    append_choice(out, {{"index", index},
                        {"text", text},
                        {"logprobs", std::move(logprobs)},
                        {"finish_reason", std::move(finish)}});
  }

  void append_choice(std::string& out, Json choice) const {
    Json choices = Json::array();
    choices.push_back(std::move(choice));
    Json chunk = make_chunk(std::move(choices));
    if (options_.include_usage) chunk["usage"] = nullptr;
    append_event(out, chunk);
  }

  Json make_chunk(Json choices) const {
    return options_.chat ? chat_chunk(options_.head, std::move(choices))
                         : completion_chunk(options_.head, std::move(choices));
  }

  const AnswerOptions options_;
  const std::unique_ptr<TextGeneration> run_;
  bool opened_ = false;
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
