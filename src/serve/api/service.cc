#include "serve/api/service.h"

#include <utility>

#include "base/status.h"
#include "serve/api/anthropic.h"
#include "serve/api/anthropic_answer.h"
#include "serve/api/embeddings.h"
#include "serve/api/errors.h"
#include "serve/api/json_fields.h"
#include "serve/api/model_endpoint.h"
#include "serve/api/model_list.h"
#include "serve/api/oip.h"
#include "serve/api/openai.h"
#include "serve/api/openapi.h"

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

// An endpoint that is a function of the model and the body.
ModelHandler json_endpoint(absl::StatusOr<Json> (*answer)(const ServedModel&, const std::string&)) {
  return [answer](const ModelLease& model, const http::Request& request,
                  const http::Wakeup&) -> http::Reply {
    const absl::StatusOr<Json> json = answer(*model, request.body);
    return json.ok() ? json_response(*json) : openai_error(json.status());
  };
}

http::Response ok_or_error(const absl::Status& status) {
  if (!status.ok()) return openai_error(status);
  http::Response response;
  response.content_type = "text/plain";
  return response;
}

}  // namespace

Service::Service(ModelRepository& models, Metrics& metrics)
    : models_(models), metrics_(metrics), lora_(models) {}

std::vector<http::Route> Service::routes() {
  const auto in_anthropic_style = [](const absl::Status& status, const std::string& id) {
    return anthropic_error(status, id);
  };
  using http::Access;
  using http::Request;
  using http::Wakeup;
  const auto of_model = [this](ModelHandler handler) {
    return of_named_model(models_, std::move(handler));
  };
  std::vector<http::Route> routes = {
      {"GET", "/health", Access::kOpen,
       [this](const Request&, const Wakeup&) { return ok_or_error(readiness()); }},
      {"GET", "/health/live", Access::kOpen,
       [this](const Request&, const Wakeup&) { return ok_or_error(liveness()); }},
      {"GET", "/health/ready", Access::kOpen,
       [this](const Request&, const Wakeup&) { return ok_or_error(readiness()); }},
      {"GET", "/version", Access::kNeedsKey,
       [](const Request&, const Wakeup&) { return json_response({{"version", BRISK_VERSION}}); }},
      {"GET", "/metrics", Access::kNeedsKey,
       [this](const Request&, const Wakeup&) { return metrics_page(); }},
      openapi_route(),
      {"GET", "/v1/models", Access::kNeedsKey,
       [this](const Request&, const Wakeup&) { return list_models(models_); }},
      {"GET", "/v1/models/{id*}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) {
         return describe_model(models_, request.params[0]);
       }},
      {"POST", "/v1/completions", Access::kNeedsKey, of_model(completions)},
      {"POST", "/v1/chat/completions", Access::kNeedsKey, of_model(chat_completions)},
      {"GET", "/v1/brisk/requests", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) {
         return models_.running().list(request.caller);
       }},
      {"DELETE", "/v1/brisk/requests/{id}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) {
         return models_.running().cancel(request.caller, request.params[0]);
       }},
      {"POST", "/v1/responses", Access::kNeedsKey,
       of_model([this](const ModelLease& model, const Request& request, const Wakeup& wakeup) {
         return responses_.create(model, request, wakeup);
       })},
      {"GET", "/v1/responses/{id}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return responses_.retrieve(request); }},
      {"GET", "/v1/responses/{id}/input_items", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return responses_.input_items(request); }},
      {"DELETE", "/v1/responses/{id}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return responses_.remove(request); }},
      {"POST", "/v1/messages", Access::kNeedsKey,
       of_named_model(models_, anthropic_messages, in_anthropic_style)},
      {"POST", "/v1/messages/count_tokens", Access::kNeedsKey,
       of_named_model(models_, anthropic_count_tokens, in_anthropic_style)},
      {"POST", "/v1/embeddings", Access::kNeedsKey, of_model(embeddings)},
      {"POST", "/v1/load_lora_adapter", Access::kNeedsKey,
       of_model([this](const ModelLease& model, const Request& request, const Wakeup& wakeup) {
         return lora_.load(model, request, wakeup);
       })},
      {"POST", "/v1/unload_lora_adapter", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return lora_.unload(request); }},
      {"POST", "/tokenize", Access::kNeedsKey, of_model(json_endpoint(tokenize_body))},
      {"POST", "/detokenize", Access::kNeedsKey, of_model(json_endpoint(detokenize_body))},
      {"POST", "/apply-template", Access::kNeedsKey, of_model(json_endpoint(template_body))},
  };
  for (http::Route& route : oip_routes(models_, [this] { return readiness(); })) {
    routes.push_back(std::move(route));
  }
  return routes;
}

// Whether starting it again would not help: a server that finishes its answers lives.
absl::Status Service::liveness() const {
  for (const ModelLease& model : models_.loaded()) {
    if (const double seconds = model->engine->stats().stuck_seconds; seconds > 0) {
      return absl::UnavailableError(
          fmt::format("a step of the model {} has not ended for {:.0f} s", model->name(), seconds));
    }
  }
  return absl::OkStatus();
}

// Whether new requests should come here.
absl::Status Service::readiness() const {
  if (draining_) return absl::UnavailableError("the server is draining");
  return liveness();
}

http::Response Service::metrics_page() const {
  std::vector<NamedEngineStats> models;
  for (const ModelLease& model : models_.loaded()) {
    models.push_back({.model_name = model->name(), .stats = model->engine->stats()});
  }
  http::Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = metrics_.text(models);
  return response;
}

http::Response error_in_style(int status, std::string_view message, std::string_view path,
                              std::string_view code) {
  if (path == "/v2" || path.starts_with("/v2/")) return oip_error(status, message);
  const ApiError error{.status = status,
                       .message = std::string(message),
                       .type = std::string(error_type(status)),
                       .param = "",
                       .code = std::string(code)};
  return path.starts_with("/v1/messages") ? anthropic_error(error) : openai_error(error);
}

}  // namespace brisk::api
