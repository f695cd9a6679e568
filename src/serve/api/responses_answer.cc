#include "serve/api/responses_answer.h"

#include <utility>

#include "serve/api/errors.h"
#include "serve/api/openai_response.h"
#include "serve/api/timeout_error.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

using Kind = AnswerPiece::Kind;

Json response_usage(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

// The output of a response while it grows, and the events that tell of it.
class ResponseOutput {
 public:
  ResponseOutput(ResponsesAnswerOptions options, std::unique_ptr<ChatGeneration> run)
      : options_(std::move(options)), run_(std::move(run)) {}

  // `events` get what is new; null: nobody listens. True: the response is complete. Errors: what
  // ended the generation; the events tell of it already.
  void expire(std::string* events) {
    events_ = events;
    fail(absl::DeadlineExceededError(timeout_error().message));
  }

  absl::StatusOr<bool> advance(std::string* events) {
    events_ = events;
    if (!opened_) {
      tell("response.created", {{"response", response("in_progress")}});
      tell("response.in_progress", {{"response", response("in_progress")}});
      opened_ = true;
    }
    const absl::StatusOr<std::vector<ChatDelta>> deltas = run_->poll();
    if (!deltas.ok()) {
      fail(deltas.status());
      return deltas.status();
    }
    for (const ChatDelta& delta : *deltas) {
      Json logprobs = Json::array();
      if (options_.logprobs) {
        logprobs = chat_logprobs_json(run_->tokenizer(), delta.tokens)["content"];
      }
      for (const AnswerPiece& piece : delta.pieces) {
        add(piece, std::exchange(logprobs, Json::array()));
      }
      if (delta.finish.has_value()) is_cut_ = delta.finish == ChatFinish::kLength;
    }
    if (!run_->done()) return false;
    end_item();
    body_ = response(is_cut_ ? "incomplete" : "completed");
    body_["usage"] = response_usage(run_->usage());
    if (is_cut_) body_["incomplete_details"] = {{"reason", "max_output_tokens"}};
    tell(is_cut_ ? "response.incomplete" : "response.completed", {{"response", body_}});
    if (options_.on_done) options_.on_done(body_);
    return true;
  }

  const Json& body() const { return body_; }  // of a complete response

 private:
  Json response(const char* status) const {
    Json json = options_.echo;
    json.update({{"id", options_.id},
                 {"object", "response"},
                 {"created_at", options_.created},
                 {"status", status},
                 {"background", false},
                 {"error", nullptr},
                 {"incomplete_details", nullptr},
                 {"model", options_.model},
                 {"output", output_},
                 {"usage", nullptr}});
    return json;
  }

  void tell(const char* type, Json event) {
    if (events_ == nullptr) return;
    event["type"] = type;
    event["sequence_number"] = sequence_++;
    *events_ += fmt::format("event: {}\ndata: {}\n\n", type, to_text(event));
  }

  void fail(const absl::Status& status) {
    Json failed = response("failed");
    failed["error"] = {{"code", "server_error"}, {"message", message_of(status)}};
    tell("response.failed", {{"response", std::move(failed)}});
  }

  size_t index() const { return output_.size() - 1; }

  // An event about the item that is open.
  void tell_of_item(const char* type, Json event) {
    event["item_id"] = output_.back()["id"];
    event["output_index"] = index();
    tell(type, std::move(event));
  }
  void tell_of_text(const char* type, Json event) {
    event["content_index"] = 0;
    tell_of_item(type, std::move(event));
  }

  void add(const AnswerPiece& piece, Json logprobs) {
    const bool goes_on = is_open_ && piece.kind != Kind::kCall &&
                         (open_ == Kind::kText) == (piece.kind == Kind::kText);
    if (!goes_on) begin_item(piece);
    if (piece.kind == Kind::kText) {
      Json& part = output_.back()["content"][0];
      part["text"].get_ref<std::string&>() += piece.text;
      for (const Json& token : logprobs) part["logprobs"].push_back(token);
      tell_of_text("response.output_text.delta",
                   {{"delta", piece.text}, {"logprobs", std::move(logprobs)}});
    } else if (piece.kind == Kind::kArguments) {
      output_.back()["arguments"].get_ref<std::string&>() += piece.text;
      tell_of_item("response.function_call_arguments.delta", {{"delta", piece.text}});
    }
  }

  void begin_item(const AnswerPiece& piece) {
    end_item();
    is_open_ = true;
    open_ = piece.kind;
    if (piece.kind != Kind::kText) {
      output_.push_back({{"type", "function_call"},
                         {"id", "fc_" + http::random_hex(24)},
                         {"call_id", run_->new_call_id()},
                         {"name", piece.text},
                         {"arguments", ""},
                         {"status", "in_progress"}});
      tell("response.output_item.added", {{"output_index", index()}, {"item", output_.back()}});
      return;
    }
    output_.push_back({{"type", "message"},
                       {"id", "msg_" + http::random_hex(24)},
                       {"role", "assistant"},
                       {"content", Json::array()},
                       {"status", "in_progress"}});
    tell("response.output_item.added", {{"output_index", index()}, {"item", output_.back()}});
    const Json part = {{"type", "output_text"},
                       {"text", ""},
                       {"annotations", Json::array()},
                       {"logprobs", Json::array()}};
    output_.back()["content"].push_back(part);
    tell_of_text("response.content_part.added", {{"part", part}});
  }

  void end_item() {
    if (!is_open_) return;
    is_open_ = false;
    Json& item = output_.back();
    item["status"] = is_cut_ ? "incomplete" : "completed";
    if (open_ == Kind::kText) {
      const Json& part = item["content"][0];
      tell_of_text("response.output_text.done",
                   {{"text", part["text"]}, {"logprobs", part["logprobs"]}});
      tell_of_text("response.content_part.done", {{"part", part}});
    } else {
      tell_of_item("response.function_call_arguments.done",
                   {{"name", item["name"]}, {"arguments", item["arguments"]}});
    }
    tell("response.output_item.done", {{"output_index", index()}, {"item", item}});
  }

  const ResponsesAnswerOptions options_;
  const std::unique_ptr<ChatGeneration> run_;
  std::string* events_ = nullptr;
  Json output_ = Json::array();
  Json body_;
  bool opened_ = false;
  bool is_open_ = false;  // the last item
  bool is_cut_ = false;   // by max_output_tokens
  Kind open_ = Kind::kText;
  int sequence_ = 0;
};

class WholeResponse final : public http::PendingResponse {
 public:
  WholeResponse(ResponsesAnswerOptions options, std::unique_ptr<ChatGeneration> run)
      : output_(std::move(options), std::move(run)) {}

  std::optional<http::Response> poll() override {
    const absl::StatusOr<bool> done = output_.advance(nullptr);
    if (!done.ok()) return openai_error(done.status());
    if (!*done) return std::nullopt;
    http::Response response;
    response.body = to_text(output_.body());
    return response;
  }

 private:
  ResponseOutput output_;
};

class StreamedResponse final : public http::BodyStream {
 public:
  StreamedResponse(ResponsesAnswerOptions options, std::unique_ptr<ChatGeneration> run)
      : output_(std::move(options), std::move(run)) {}

  bool pull(std::string& out) override {
    const absl::StatusOr<bool> done = output_.advance(&out);
    return !done.ok() || *done;
  }

  std::string_view keepalive() const override { return ": waiting\n\n"; }

  void expire(std::string& out) override { output_.expire(&out); }

 private:
  ResponseOutput output_;
};

}  // namespace

std::unique_ptr<http::PendingResponse> whole_response(ResponsesAnswerOptions options,
                                                      std::unique_ptr<ChatGeneration> run) {
  return std::make_unique<WholeResponse>(std::move(options), std::move(run));
}

std::unique_ptr<http::BodyStream> streamed_response(ResponsesAnswerOptions options,
                                                    std::unique_ptr<ChatGeneration> run) {
  return std::make_unique<StreamedResponse>(std::move(options), std::move(run));
}

}  // namespace brisk::api
