#include "serve/api/openai_response.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <string>
#include <utility>

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

// {"text": logprob, ...}: the `top` most probable tokens, and the one that was chosen.
Json alternatives_json(const Tokenizer& tokenizer, const TextToken& token, int top) {
  Json alternatives = Json::object();
  const size_t count = std::min(token.top.size(), static_cast<size_t>(std::max(top, 0)));
  for (const TokenLogprob& each : std::span(token.top).first(count)) {
    // Two tokens may read alike (bytes that are no character): the more probable one stays.
    alternatives.emplace(tokenizer.decode_token(each.token, true), finite_logprob(each.logprob));
  }
  alternatives.emplace(tokenizer.decode_token(token.token, true), finite_logprob(token.logprob));
  return alternatives;
}

Json body(const AnswerHead& head, const char* object, Json choices) {
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(choices)}};
}

}  // namespace

int64_t count_characters(const std::string& text) {
  return std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; });
}

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

Json completion_logprobs_json(const Tokenizer& tokenizer, const CompletionLogprobs& logprobs) {
  Json texts = Json::array();
  Json values = Json::array();
  Json tops = Json::array();
  Json offsets = Json::array();
  const auto add = [&](const TextToken& token, int64_t offset, bool is_scored) {
    texts.push_back(tokenizer.decode_token(token.token, true));
    offsets.push_back(offset + token.text_offset);
    values.push_back(is_scored ? Json(finite_logprob(token.logprob)) : Json(nullptr));
    tops.push_back(is_scored ? alternatives_json(tokenizer, token, logprobs.top) : Json(nullptr));
  };
  for (const TextToken& token : logprobs.prompt) add(token, 0, &token != logprobs.prompt.data());
  for (const TextToken& token : logprobs.tokens) add(token, logprobs.offset, true);
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(values)},
          {"top_logprobs", logprobs.top > 0 ? std::move(tops) : Json(nullptr)},
          {"text_offset", std::move(offsets)}};
}

std::vector<TextToken> prompt_text_tokens(const Tokenizer& tokenizer,
                                          const std::vector<PromptLogprob>& prompt,
                                          const std::string& text) {
  std::vector<TextToken> tokens;
  TextDecoder decoder(tokenizer, /*first=*/true, /*special=*/true);
  int64_t characters = 0;
  for (size_t i = 0; i < prompt.size(); ++i) {
    const int32_t token = prompt[i].token;
    tokens.push_back({.token = token,
                      .logprob = prompt[i].logprob,
                      .top = prompt[i].top,
                      .text_offset = characters});
    const bool is_added = i == 0 && tokenizer.is_control(token) &&
                          !text.starts_with(tokenizer.decode_token(token, true));
    if (!is_added) characters += count_characters(decoder.push(token));
  }
  return tokens;
}

Json prompt_logprobs_json(const Tokenizer& tokenizer, const std::vector<PromptLogprob>& prompt,
                          int top) {
  Json all = Json::array();
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (i == 0) {
      all.push_back(nullptr);
      continue;
    }
    Json entry = Json::object();
    const auto add = [&](int32_t token, float logprob, int64_t rank) {
      entry.emplace(std::to_string(token),
                    Json{{"logprob", finite_logprob(logprob)},
                         {"rank", rank},
                         {"decoded_token", tokenizer.decode_token(token, true)}});
    };
    add(prompt[i].token, prompt[i].logprob, prompt[i].rank);
    const size_t count = std::min(prompt[i].top.size(), static_cast<size_t>(top));
    for (size_t k = 0; k < count; ++k) {
      add(prompt[i].top[k].token, prompt[i].top[k].logprob, static_cast<int64_t>(k) + 1);
    }
    all.push_back(std::move(entry));
  }
  return all;
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

http::Response event_stream(std::unique_ptr<http::BodyStream> stream) {
  http::Response response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers = {{"cache-control", "no-cache"}, {"x-accel-buffering", "no"}};
  response.stream = std::move(stream);
  return response;
}

int64_t unix_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace brisk::api
