#include "serve/api/anthropic_answer.h"

#include <utility>

#include "serve/api/timeout_error.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

using Kind = AnswerPiece::Kind;

std::string_view anthropic_type(int http_status) {
  switch (http_status) {
    case 413:
      return "request_too_large";
    case 500:
      return "api_error";
    case 503:
      return "overloaded_error";
    default:
      return error_type(http_status);
  }
}

std::string_view stop_reason(const ChatDelta& end) {
  if (!end.stop_string.empty()) return "stop_sequence";
  switch (*end.finish) {
    case ChatFinish::kStop:
      return "end_turn";
    case ChatFinish::kLength:
      return "max_tokens";
    case ChatFinish::kToolCalls:
      return "tool_use";
  }
  return "end_turn";
}

Json stop_json(const ChatDelta& end) {
  return {{"stop_reason", stop_reason(end)},
          {"stop_sequence", end.stop_string.empty() ? Json() : Json(end.stop_string)}};
}

// What was found in the cache does not count as input.
Json anthropic_usage(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

Json message_json(const AnthropicHead& head, Json content, const Usage& usage) {
  return {{"id", head.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", head.model},
          {"content", std::move(content)},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr},
          {"usage", anthropic_usage(usage)}};
}

// A block that begins; arguments that were cut off are no input.
Json block_json(const ChatGeneration& run, const AnswerPiece& piece) {
  if (piece.kind == Kind::kText) return {{"type", "text"}, {"text", ""}};
  return {{"type", "tool_use"},
          {"id", run.new_call_id("toolu_")},
          {"name", piece.text},
          {"input", Json::object()}};
}

// Whether a piece begins another block than the one that is open.
bool begins_block(const AnswerPiece& piece, Kind open, bool is_open) {
  return piece.kind == Kind::kCall || !is_open ||
         (piece.kind == Kind::kText && open != Kind::kText);
}

class WholeAnthropicAnswer final : public http::PendingResponse {
 public:
  WholeAnthropicAnswer(AnthropicHead head, std::unique_ptr<ChatGeneration> run)
      : head_(std::move(head)), run_(std::move(run)) {}

  std::optional<http::Response> poll() override {
    absl::StatusOr<std::vector<ChatDelta>> deltas = run_->poll();
    if (!deltas.ok()) return anthropic_error(deltas.status(), head_.request_id);
    for (const ChatDelta& delta : *deltas) {
      for (const AnswerPiece& piece : delta.pieces) add(piece);
      if (delta.finish.has_value()) stop_ = stop_json(delta);
    }
    if (!run_->done()) return std::nullopt;
    end_block();
    Json body = message_json(head_, std::move(content_), run_->usage());
    body.update(stop_);
    http::Response response;
    response.headers.emplace_back("request-id", head_.request_id);
    response.body = to_text(body);
    return response;
  }

 private:
  void add(const AnswerPiece& piece) {
    if (begins_block(piece, open_, !content_.empty())) {
      end_block();
      content_.push_back(block_json(*run_, piece));
      open_ = piece.kind;
    }
    if (piece.kind == Kind::kText) {
      content_.back()["text"].get_ref<std::string&>() += piece.text;
    } else if (piece.kind == Kind::kArguments) {
      arguments_ += piece.text;
    }
  }

  void end_block() {
    if (arguments_.empty()) return;
    const absl::StatusOr<Json> input = parse_json(std::exchange(arguments_, ""));
    if (input.ok() && input->is_object()) content_.back()["input"] = *input;
  }

  const AnthropicHead head_;
  const std::unique_ptr<ChatGeneration> run_;
  Json content_ = Json::array();
  Kind open_ = Kind::kText;
  std::string arguments_;  // of the call that is open
  Json stop_ = Json::object();
};

class StreamedAnthropicAnswer final : public http::BodyStream {
 public:
  StreamedAnthropicAnswer(AnthropicHead head, std::unique_ptr<ChatGeneration> run)
      : head_(std::move(head)), run_(std::move(run)) {}

  bool pull(std::string& out) override {
    if (!opened_) {
      append(out, {{"type", "message_start"},
                   {"message", message_json(head_, Json::array(), run_->usage())}});
      append(out, {{"type", "ping"}});
      opened_ = true;
    }
    const absl::StatusOr<std::vector<ChatDelta>> deltas = run_->poll();
    if (!deltas.ok()) {
      append(out, anthropic_error_json(to_api_error(deltas.status())));
      return true;
    }
    for (const ChatDelta& delta : *deltas) {
      for (const AnswerPiece& piece : delta.pieces) append_piece(out, piece);
      if (delta.finish.has_value()) stop_ = stop_json(delta);
    }
    if (!run_->done()) return false;
    end_block(out);
    append(
        out,
        {{"type", "message_delta"}, {"delta", stop_}, {"usage", anthropic_usage(run_->usage())}});
    append(out, {{"type", "message_stop"}});
    return true;
  }

  std::string_view keepalive() const override {
    return "event: ping\ndata: {\"type\": \"ping\"}\n\n";
  }

  void expire(std::string& out) override { append(out, anthropic_error_json(timeout_error())); }

 private:
  static void append(std::string& out, const Json& event) {
    out += fmt::format("event: {}\ndata: {}\n\n", event["type"].get_ref<const std::string&>(),
                       to_text(event));
  }

  void append_piece(std::string& out, const AnswerPiece& piece) {
    if (begins_block(piece, open_, is_open_)) {
      end_block(out);
      append(out, {{"type", "content_block_start"},
                   {"index", index_},
                   {"content_block", block_json(*run_, piece)}});
      open_ = piece.kind;
      is_open_ = true;
    }
    if (piece.kind == Kind::kCall) return;
    Json delta = piece.kind == Kind::kText
                     ? Json{{"type", "text_delta"}, {"text", piece.text}}
                     : Json{{"type", "input_json_delta"}, {"partial_json", piece.text}};
    append(out, {{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }

  void end_block(std::string& out) {
    if (!is_open_) return;
    append(out, {{"type", "content_block_stop"}, {"index", index_}});
    is_open_ = false;
    ++index_;
  }

  const AnthropicHead head_;
  const std::unique_ptr<ChatGeneration> run_;
  bool opened_ = false;
  Kind open_ = Kind::kText;
  bool is_open_ = false;
  int index_ = 0;  // of the block that is open, or comes next
  Json stop_ = Json::object();
};

}  // namespace

std::unique_ptr<http::PendingResponse> whole_anthropic_answer(AnthropicHead head,
                                                              std::unique_ptr<ChatGeneration> run) {
  return std::make_unique<WholeAnthropicAnswer>(std::move(head), std::move(run));
}

std::unique_ptr<http::BodyStream> streamed_anthropic_answer(AnthropicHead head,
                                                            std::unique_ptr<ChatGeneration> run) {
  return std::make_unique<StreamedAnthropicAnswer>(std::move(head), std::move(run));
}

Json anthropic_error_json(const ApiError& error) {
  return {{"type", "error"},
          {"error", {{"type", anthropic_type(error.status)}, {"message", error.message}}}};
}

http::Response anthropic_error(const ApiError& error) {
  http::Response response = openai_error(error);  // status and Retry-After are the same
  response.body = to_text(anthropic_error_json(error));
  return response;
}

http::Response anthropic_error(const absl::Status& status, const std::string& request_id) {
  http::Response response = anthropic_error(to_api_error(status));
  response.headers.emplace_back("request-id", request_id);
  return response;
}

}  // namespace brisk::api
