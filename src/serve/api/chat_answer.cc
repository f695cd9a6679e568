#include "serve/api/chat_answer.h"

#include <iterator>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/timeout_error.h"

namespace brisk::api {
namespace {

using Kind = AnswerPiece::Kind;

class WholeChatAnswer final : public http::PendingResponse {
 public:
  WholeChatAnswer(ChatAnswerOptions options, std::unique_ptr<ChatGeneration> run)
      : options_(std::move(options)),
        run_(std::move(run)),
        choices_(static_cast<size_t>(run_->choices())) {}

  std::optional<http::Response> poll() override {
    absl::StatusOr<std::vector<ChatDelta>> deltas = run_->poll();
    if (!deltas.ok()) return openai_error(deltas.status());
    for (ChatDelta& delta : *deltas) add(std::move(delta));
    if (!run_->done()) return std::nullopt;
    Json choices = Json::array();
    for (const Choice& choice : choices_) {
      choices.push_back(choice_json(choice, static_cast<int>(choices.size())));
    }
    Json body = chat_body(options_.head, std::move(choices), run_->usage());
    if (options_.prompt_logprobs >= 0) {
      body["prompt_logprobs"] = prompt_logprobs_json(run_->tokenizer(), run_->prompt_logprobs(),
                                                     options_.prompt_logprobs);
    }
    http::Response response;
    response.body = to_text(body);
    return response;
  }

 private:
  struct Choice {
    std::string text;
    Json calls = Json::array();
    std::vector<TextToken> tokens;
    ChatFinish finish = ChatFinish::kStop;
  };

  void add(ChatDelta delta) {
    Choice& choice = choices_[static_cast<size_t>(delta.choice)];
    for (const AnswerPiece& piece : delta.pieces) {
      switch (piece.kind) {
        case Kind::kText:
          choice.text += piece.text;
          break;
        case Kind::kCall:
          choice.calls.push_back({{"id", run_->new_call_id()},
                                  {"type", "function"},
                                  {"function", {{"name", piece.text}, {"arguments", ""}}}});
          break;
        case Kind::kArguments:
          choice.calls.back()["function"]["arguments"].get_ref<std::string&>() += piece.text;
          break;
      }
    }
    std::move(delta.tokens.begin(), delta.tokens.end(), std::back_inserter(choice.tokens));
    if (delta.finish.has_value()) choice.finish = *delta.finish;
  }

  Json choice_json(const Choice& choice, int index) const {
    Json message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
    if (!choice.calls.empty()) {
      message["tool_calls"] = choice.calls;
      if (choice.text.empty()) message["content"] = nullptr;
    }
    Json logprobs;
    if (options_.logprobs >= 0) logprobs = chat_logprobs_json(run_->tokenizer(), choice.tokens);
    return {{"index", index},
            {"finish_reason", finish_name(choice.finish)},
            {"logprobs", std::move(logprobs)},
            {"message", std::move(message)}};
  }

  const ChatAnswerOptions options_;
  const std::unique_ptr<ChatGeneration> run_;
  std::vector<Choice> choices_;
};

class StreamedChatAnswer final : public http::BodyStream {
 public:
  StreamedChatAnswer(ChatAnswerOptions options, std::unique_ptr<ChatGeneration> run)
      : options_(std::move(options)),
        run_(std::move(run)),
        calls_(static_cast<size_t>(run_->choices()), 0) {}

  bool pull(std::string& out) override {
    if (!opened_) open(out);
    opened_ = true;
    const absl::StatusOr<std::vector<ChatDelta>> deltas = run_->poll();
    if (!deltas.ok()) {
      append_event(out, openai_error_json(to_api_error(deltas.status())));
      return true;
    }
    for (const ChatDelta& delta : *deltas) append_delta(out, delta);
    if (!run_->done()) return false;
    if (options_.include_usage) {
      Json chunk = chat_chunk(options_.head, Json::array());
      chunk["usage"] = usage_json(run_->usage());
      append_event(out, chunk);
    }
    out += kDoneEvent;
    return true;
  }

  std::string_view keepalive() const override { return ": waiting\n\n"; }

  void expire(std::string& out) override { append_event(out, openai_error_json(timeout_error())); }

 private:
  void open(std::string& out) const {
    for (int i = 0; i < run_->choices(); ++i) {
      append_choice(out, i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    }
  }

  // The log-probabilities of all its tokens come with its first piece.
  void append_delta(std::string& out, const ChatDelta& delta) {
    Json logprobs;
    const bool has_logprobs = options_.logprobs >= 0 && !delta.tokens.empty();
    if (has_logprobs) logprobs = chat_logprobs_json(run_->tokenizer(), delta.tokens);
    if (delta.pieces.empty() && has_logprobs) {
      append_choice(out, delta.choice, {{"content", ""}}, std::move(logprobs), nullptr);
    }
    for (const AnswerPiece& piece : delta.pieces) {
      append_choice(out, delta.choice, piece_json(delta.choice, piece),
                    std::exchange(logprobs, nullptr), nullptr);
    }
    if (delta.finish.has_value()) {
      append_choice(out, delta.choice, Json::object(), nullptr, finish_name(*delta.finish));
    }
  }

  Json piece_json(int choice, const AnswerPiece& piece) {
    int& calls = calls_[static_cast<size_t>(choice)];
    Json call;
    switch (piece.kind) {
      case Kind::kText:
        return {{"content", piece.text}};
      case Kind::kCall:
        call = {{"index", calls++},
                {"id", run_->new_call_id()},
                {"type", "function"},
                {"function", {{"name", piece.text}, {"arguments", ""}}}};
        break;
      case Kind::kArguments:
        call = {{"index", calls - 1}, {"function", {{"arguments", piece.text}}}};
        break;
    }
    Json delta;
    delta["tool_calls"] = Json::array();
    delta["tool_calls"].push_back(std::move(call));
    return delta;
  }

  void append_choice(std::string& out, int index, Json delta, Json logprobs, Json finish) const {
    Json choices = Json::array();
    choices.push_back({{"index", index},
                       {"delta", std::move(delta)},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", std::move(finish)}});
    Json chunk = chat_chunk(options_.head, std::move(choices));
    if (options_.include_usage) chunk["usage"] = nullptr;
    append_event(out, chunk);
  }

  const ChatAnswerOptions options_;
  const std::unique_ptr<ChatGeneration> run_;
  std::vector<int> calls_;  // (choices) that have begun
  bool opened_ = false;
};

}  // namespace

std::unique_ptr<http::PendingResponse> whole_chat_answer(ChatAnswerOptions options,
                                                         std::unique_ptr<ChatGeneration> run) {
  return std::make_unique<WholeChatAnswer>(std::move(options), std::move(run));
}

std::unique_ptr<http::BodyStream> streamed_chat_answer(ChatAnswerOptions options,
                                                       std::unique_ptr<ChatGeneration> run) {
  return std::make_unique<StreamedChatAnswer>(std::move(options), std::move(run));
}

}  // namespace brisk::api
