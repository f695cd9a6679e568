#include "serve/api/openai_response.h"

#include <algorithm>
#include <chrono>

namespace brisk::api {
namespace {

// OpenAI writes impossible as a large negative number; JSON has no infinity.
constexpr float kLogprobMin = -9999;

float finite_logprob(float logprob) { return std::max(logprob, kLogprobMin); }

Json token_json(const Tokenizer& tokenizer, int32_t token, float logprob) {
  const std::string text = tokenizer.decode_token(token, true);
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<int>(static_cast<unsigned char>(c)));
  return {{"token", text}, {"logprob", finite_logprob(logprob)}, {"bytes", std::move(bytes)}};
}

Json body(const AnswerHead& head, const char* object, Json choices) {
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(choices)}};
}

}  // namespace

std::string_view finish_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
    case FinishReason::kError:
      return "error";
  }
  return "error";
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

Json chat_logprobs_json(const Tokenizer& tokenizer, const std::vector<TextToken>& tokens) {
  Json content = Json::array();
  for (const TextToken& token : tokens) {
    Json entry = token_json(tokenizer, token.token, token.logprob);
    entry["top_logprobs"] = Json::array();
    for (const TokenLogprob& top : token.top) {
      entry["top_logprobs"].push_back(token_json(tokenizer, top.token, top.logprob));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json completion_logprobs_json(const Tokenizer& tokenizer, const std::vector<TextToken>& tokens,
                              int64_t offset, int top) {
  Json texts = Json::array();
  Json logprobs = Json::array();
  Json tops = Json::array();
  Json offsets = Json::array();
  for (const TextToken& token : tokens) {
    texts.push_back(tokenizer.decode_token(token.token, true));
    logprobs.push_back(finite_logprob(token.logprob));
    offsets.push_back(offset + token.text_offset);
    Json alternatives = Json::object();
    for (const TokenLogprob& each : token.top) {
      // Two tokens may read alike (bytes that are no character): the more probable one stays.
      alternatives.emplace(tokenizer.decode_token(each.token, true), finite_logprob(each.logprob));
    }
    alternatives.emplace(tokenizer.decode_token(token.token, true), finite_logprob(token.logprob));
    tops.push_back(std::move(alternatives));
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", top > 0 ? std::move(tops) : Json(nullptr)},
          {"text_offset", std::move(offsets)}};
}

Json chat_body(const AnswerHead& head, Json choices, const Usage& usage) {
  Json json = body(head, "chat.completion", std::move(choices));
  json["usage"] = usage_json(usage);
  return json;
}

Json completion_body(const AnswerHead& head, Json choices, const Usage& usage) {
  Json json = body(head, "text_completion", std::move(choices));
  json["usage"] = usage_json(usage);
  return json;
}

Json chat_chunk(const AnswerHead& head, Json choices) {
  return body(head, "chat.completion.chunk", std::move(choices));
}

Json completion_chunk(const AnswerHead& head, Json choices) {
  return body(head, "text_completion", std::move(choices));
}

void append_event(std::string& out, const Json& json) {
  out += "data: ";
  out += to_text(json);
  out += "\n\n";
}

int64_t unix_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace brisk::api
