#include "serve/api/service.h"

#include <utility>

#include "base/status.h"
#include "serve/api/anthropic.h"
#include "serve/api/anthropic_answer.h"
#include "serve/api/errors.h"
#include "serve/api/json_fields.h"

namespace brisk::api {
namespace {

http::Response json_response(const Json& json) {
  http::Response response;
  response.body = to_text(json);
  return response;
}

// vLLM's /tokenize: a prompt, or messages as a chat would render them.
absl::StatusOr<Json> tokenize_body(const ServedModel& model, const std::string& body) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Fields fields(json);
  const bool with_strings = fields.boolean("return_token_strs", false);
  std::vector<int32_t> tokens;
  if (fields.find("messages") != nullptr) {
    BRISK_ASSIGN_OR_RETURN(const ChatRequest chat,
                           parse_chat(body, model.defaults, "return_token_strs"));
    BRISK_RETURN_IF_ERROR(model.check_name(chat.spec.model));
    BRISK_ASSIGN_OR_RETURN(tokens, encode_chat(model, chat));
  } else {
    BRISK_RETURN_IF_ERROR(model.check_name(fields.string("model", "")));
    if (fields.find("prompt") == nullptr) fields.fail("prompt", "is missing");
    const std::string prompt = fields.string("prompt", "");
    const bool add_special = fields.boolean("add_special_tokens", true);
    BRISK_RETURN_IF_ERROR(fields.finish());
    tokens = model.tokenizer->encode(prompt, {.add_special = add_special, .parse_special = true});
  }
  Json strings = nullptr;
  if (with_strings) {
    strings = Json::array();
    for (const int32_t token : tokens)
      strings.push_back(model.tokenizer->decode_token(token, true));
  }
  return Json{{"count", tokens.size()},
              {"max_model_len", model.engine->context_max()},
              {"tokens", tokens},
              {"token_strs", std::move(strings)}};
}

absl::StatusOr<Json> detokenize_body(const ServedModel& model, const std::string& body) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Fields fields(json);
  BRISK_RETURN_IF_ERROR(model.check_name(fields.string("model", "")));
  if (fields.find("tokens") == nullptr) fields.fail("tokens", "is missing");
  const std::vector<int64_t> ids =
      fields.integers("tokens", {0, model.tokenizer->vocab_size() - 1});
  BRISK_RETURN_IF_ERROR(fields.finish());
  return Json{{"prompt", model.tokenizer->decode({ids.begin(), ids.end()}, true)}};
}

absl::StatusOr<Json> template_body(const ServedModel& model, const std::string& body) {
  BRISK_ASSIGN_OR_RETURN(const ChatRequest chat, parse_chat(body, model.defaults));
  BRISK_RETURN_IF_ERROR(model.check_name(chat.spec.model));
  BRISK_ASSIGN_OR_RETURN(std::string text, render_chat(model, chat));
  return Json{{"prompt", std::move(text)}};
}

ServedModel with_grammars(ServedModel model) {
  model.grammars = std::make_shared<GrammarCache>(model.engine->model());
  return model;
}

http::Response response_or_error(const absl::StatusOr<Json>& json) {
  return json.ok() ? json_response(*json) : openai_error(json.status());
}

}  // namespace

Service::Service(ServedModel model, const MetricsOptions& metrics)
    : model_(with_grammars(std::move(model))),
      metrics_(metrics),
      openai_(model_, metrics_),
      lora_(model_, model_.lora_directory) {}

std::vector<http::Route> Service::routes() {
  using http::Access;
  using http::Request;
  using http::Wakeup;
  return {
      {"GET", "/health", Access::kOpen, [this](const Request&, const Wakeup&) { return health(); }},
      {"GET", "/version", Access::kNeedsKey,
       [](const Request&, const Wakeup&) { return json_response({{"version", BRISK_VERSION}}); }},
      {"GET", "/metrics", Access::kNeedsKey,
       [this](const Request&, const Wakeup&) {
         http::Response response;
         response.content_type = "text/plain; version=0.0.4; charset=utf-8";
         response.body = metrics_.text(model_.engine->stats());
         return response;
       }},
      {"GET", "/v1/models", Access::kNeedsKey,
       [this](const Request&, const Wakeup&) { return openai_.models(); }},
      {"GET", "/v1/models/{id*}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return openai_.model(request.params[0]); }},
      {"POST", "/v1/completions", Access::kNeedsKey,
       [this](const Request& request, const Wakeup& wakeup) {
         return openai_.completions(request, wakeup);
       }},
      {"POST", "/v1/chat/completions", Access::kNeedsKey,
       [this](const Request& request, const Wakeup& wakeup) {
         return openai_.chat_completions(request, wakeup);
       }},
      {"POST", "/v1/responses", Access::kNeedsKey,
       [this](const Request& request, const Wakeup& wakeup) {
         return responses_.create(model_, metrics_, request, wakeup);
       }},
      {"GET", "/v1/responses/{id}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return responses_.retrieve(request); }},
      {"DELETE", "/v1/responses/{id}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return responses_.remove(request); }},
      {"POST", "/v1/messages", Access::kNeedsKey,
       [this](const Request& request, const Wakeup& wakeup) {
         return anthropic_messages(model_, metrics_, request, wakeup);
       }},
      {"POST", "/v1/messages/count_tokens", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) {
         return anthropic_count_tokens(model_, request);
       }},
      {"POST", "/v1/load_lora_adapter", Access::kNeedsKey,
       [this](const Request& request, const Wakeup& wakeup) {
         return lora_.load(request, wakeup);
       }},
      {"POST", "/v1/unload_lora_adapter", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return lora_.unload(request); }},
      {"POST", "/tokenize", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return tokenize(request); }},
      {"POST", "/detokenize", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return detokenize(request); }},
      {"POST", "/apply-template", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return apply_template(request); }},
  };
}

http::Response Service::health() const {
  if (draining_) return openai_error(absl::UnavailableError("the server is draining"));
  if (const double seconds = model_.engine->stats().stuck_seconds; seconds > 0) {
    return openai_error(absl::UnavailableError(
        fmt::format("a step of the model has not ended for {:.0f} s", seconds)));
  }
  http::Response response;
  response.content_type = "text/plain";
  return response;
}

http::Response Service::tokenize(const http::Request& request) const {
  return response_or_error(tokenize_body(model_, request.body));
}

http::Response Service::detokenize(const http::Request& request) const {
  return response_or_error(detokenize_body(model_, request.body));
}

http::Response Service::apply_template(const http::Request& request) const {
  return response_or_error(template_body(model_, request.body));
}

http::Response error_in_style(int status, std::string_view message, std::string_view path) {
  const ApiError error{.status = status,
                       .message = std::string(message),
                       .type = std::string(error_type(status)),
                       .param = "",
                       .code = ""};
  return path.starts_with("/v1/messages") ? anthropic_error(error) : openai_error(error);
}

}  // namespace brisk::api
