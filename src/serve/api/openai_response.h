// The bodies of OpenAI's completion endpoints, written.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/text_stream.h"
#include "model/tokenizer/tokenizer.h"
#include "serve/api/text_generation.h"
#include "serve/http/message.h"

namespace brisk::api {

// What all bodies and chunks of one answer share.
struct AnswerHead {
  std::string id;       // "chatcmpl-..."
  int64_t created = 0;  // Unix time
  std::string model;
};

int64_t count_characters(const std::string& text);

std::string_view finish_name(FinishReason reason);  // "stop", "length"
Json usage_json(const Usage& usage);

// {"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal": null}
Json chat_logprobs_json(const Tokenizer& tokenizer, const std::vector<TextToken>& tokens);

struct CompletionLogprobs {
  std::vector<TextToken> prompt{};  // when it is echoed; the first has no log-probability
  std::vector<TextToken> tokens{};
  int64_t offset = 0;  // of the tokens' text: the length of the echo
  int top = 0;         // alternatives; the token itself is added where it is not among them
};
// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
Json completion_logprobs_json(const Tokenizer& tokenizer, const CompletionLogprobs& logprobs);

// A prompt's tokens with their places in `text`, which may lack the BOS that was put before it.
std::vector<TextToken> prompt_text_tokens(const Tokenizer& tokenizer,
                                          const std::vector<PromptLogprob>& prompt,
                                          const std::string& text);

// vLLM's: [null, {"123": {"logprob", "rank", "decoded_token"}, ...}, ...], the `top` most probable
// tokens and the prompt's own.
Json prompt_logprobs_json(const Tokenizer& tokenizer, const std::vector<PromptLogprob>& prompt,
                          int top);

Json chat_body(const AnswerHead& head, Json choices, const Usage& usage);
Json completion_body(const AnswerHead& head, Json choices, const Usage& usage);

// Chunks: `choices` may be empty for the one that carries the usage.
Json chat_chunk(const AnswerHead& head, Json choices);
Json completion_chunk(const AnswerHead& head, Json choices);

// "data: {...}\n\n"
void append_event(std::string& out, const Json& json);
// The answer that such events go into.
http::Response event_stream(std::unique_ptr<http::BodyStream> stream);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

int64_t unix_seconds();

}  // namespace brisk::api
