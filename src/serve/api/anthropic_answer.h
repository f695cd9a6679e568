// The answers to Anthropic's messages, as they come about: whole, or as an event stream; and errors
// in its form.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <string_view>

#include "serve/api/chat_generation.h"
#include "serve/api/errors.h"
#include "serve/http/message.h"

namespace brisk::api {

struct AnthropicHead {
  std::string id;  // "msg_..."
  std::string model;
  std::string request_id;
};

std::unique_ptr<http::PendingResponse> whole_anthropic_answer(AnthropicHead head,
                                                              std::unique_ptr<ChatGeneration> run);
std::unique_ptr<http::BodyStream> streamed_anthropic_answer(AnthropicHead head,
                                                            std::unique_ptr<ChatGeneration> run);

// {"type": "error", "error": {"type", "message"}}
Json anthropic_error_json(const ApiError& error);
http::Response anthropic_error(const ApiError& error);
http::Response anthropic_error(const absl::Status& status, const std::string& request_id);

}  // namespace brisk::api
