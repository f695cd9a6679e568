// The bodies of OpenAI's completion endpoints, written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/text_stream.h"
#include "model/tokenizer/tokenizer.h"
#include "serve/api/text_generation.h"

namespace brisk::api {

// What all bodies and chunks of one answer share.
struct AnswerHead {
  std::string id;       // "chatcmpl-..."
  int64_t created = 0;  // Unix time
  std::string model;
};

std::string_view finish_name(FinishReason reason);  // "stop", "length"
Json usage_json(const Usage& usage);

// {"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal": null}
Json chat_logprobs_json(const Tokenizer& tokenizer, const std::vector<TextToken>& tokens);
// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; offsets from `offset` on. `top`: how
// many alternatives were asked for; the chosen token is added where it is not among them.
Json completion_logprobs_json(const Tokenizer& tokenizer, const std::vector<TextToken>& tokens,
                              int64_t offset, int top);

Json chat_body(const AnswerHead& head, Json choices, const Usage& usage);
Json completion_body(const AnswerHead& head, Json choices, const Usage& usage);

// Chunks: `choices` may be empty for the one that carries the usage.
Json chat_chunk(const AnswerHead& head, Json choices);
Json completion_chunk(const AnswerHead& head, Json choices);

// "data: {...}\n\n"
void append_event(std::string& out, const Json& json);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

int64_t unix_seconds();

}  // namespace brisk::api
