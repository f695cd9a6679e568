// The answers to OpenAI's completions, as they come about: whole, or as an event stream.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/api/openai_response.h"
#include "serve/api/text_generation.h"
#include "serve/http/message.h"

namespace brisk::api {

struct AnswerOptions {
  AnswerHead head;
  const Tokenizer* tokenizer = nullptr;  // outlives the answer
  int logprobs = -1;                     // as asked for: SamplingParams::logprobs
  int prompt_logprobs = -1;              // as asked for: Request::prompt_logprobs
  int best_of = 1;                       // choices of each prompt
  bool best_first = false;               // they come so: of a beam search
  int returned = 1;                      // of them, the best
  bool only_echo = false;                // nothing of what was generated
  bool include_usage = false;            // streams: a last chunk with the usage
  std::vector<std::string> echo = {};    // (choices) text before each; or empty
};

std::unique_ptr<http::PendingResponse> whole_answer(AnswerOptions options,
                                                    std::unique_ptr<TextGeneration> run);
std::unique_ptr<http::BodyStream> streamed_answer(AnswerOptions options,
                                                  std::unique_ptr<TextGeneration> run);

}  // namespace brisk::api
