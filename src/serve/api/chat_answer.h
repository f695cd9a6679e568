// The answers to OpenAI's chat completions, as they come about: whole, or as an event stream.
#pragma once

#include <memory>

#include "serve/api/chat_generation.h"
#include "serve/api/openai_response.h"
#include "serve/http/message.h"

namespace brisk::api {

struct ChatAnswerOptions {
  AnswerHead head;
  int logprobs = -1;           // as asked for: SamplingParams::logprobs
  int prompt_logprobs = -1;    // as asked for: Request::prompt_logprobs
  bool include_usage = false;  // streams: a last chunk with the usage
};

std::unique_ptr<http::PendingResponse> whole_chat_answer(ChatAnswerOptions options,
                                                         std::unique_ptr<ChatGeneration> run);
std::unique_ptr<http::BodyStream> streamed_chat_answer(ChatAnswerOptions options,
                                                       std::unique_ptr<ChatGeneration> run);

}  // namespace brisk::api
