// The answers to OpenAI's responses, as they come about: whole, or as an event stream.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "serve/api/chat_generation.h"
#include "serve/http/message.h"

namespace brisk::api {

struct ResponsesAnswerOptions {
  std::string id;  // "resp_..."
  int64_t created = 0;
  std::string model;
  Json echo;  // what the response repeats of the request
  bool logprobs = false;
  // Called with the response when it is complete; may be empty.
  std::function<void(const Json& response)> on_done;
};

std::unique_ptr<http::PendingResponse> whole_response(ResponsesAnswerOptions options,
                                                      std::unique_ptr<ChatGeneration> run);
std::unique_ptr<http::BodyStream> streamed_response(ResponsesAnswerOptions options,
                                                    std::unique_ptr<ChatGeneration> run);

}  // namespace brisk::api
