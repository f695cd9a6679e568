#include "serve/api/model_endpoint.h"

#include <simdjson.h>

#include <memory>
#include <utility>

#include "serve/api/openai_request.h"

namespace brisk::api {
namespace {

// An answer that begins when its model is loaded.
class AwaitedModel final : public http::PendingResponse {
 public:
  AwaitedModel(std::unique_ptr<ModelWait> wait, ModelHandler handler, ErrorWriter error,
               http::Request request, http::Wakeup wakeup)
      : wait_(std::move(wait)),
        handler_(std::move(handler)),
        error_(std::move(error)),
        request_(std::move(request)),
        wakeup_(std::move(wakeup)) {}

  std::optional<http::Response> poll() override {
    if (answer_ != nullptr) return answer_->poll();
    std::optional<absl::StatusOr<ModelLease>> model = wait_->poll();
    if (!model.has_value()) return std::nullopt;
    wait_.reset();
    if (!model->ok()) return error_(model->status(), request_.id);
    http::Reply reply = handler_(**model, request_, wakeup_);
    request_ = {};
    if (auto* response = std::get_if<http::Response>(&reply)) return std::move(*response);
    answer_ = std::move(std::get<std::unique_ptr<http::PendingResponse>>(reply));
    return answer_->poll();
  }

 private:
  std::unique_ptr<ModelWait> wait_;
  const ModelHandler handler_;
  const ErrorWriter error_;
  http::Request request_;
  const http::Wakeup wakeup_;
  std::unique_ptr<http::PendingResponse> answer_;
};

}  // namespace

http::Reply with_model(ModelRepository& models, std::string_view name, const ModelHandler& handler,
                       const ErrorWriter& error, const http::Request& request,
                       const http::Wakeup& wakeup) {
  absl::StatusOr<std::unique_ptr<ModelWait>> wait =
      models.ask(name, wakeup, static_cast<int64_t>(request.body.size()));
  if (!wait.ok()) return error(wait.status(), request.id);
  const std::optional<absl::StatusOr<ModelLease>> model = (*wait)->poll();
  if (model.has_value()) {
    if (!model->ok()) return error(model->status(), request.id);
    wait->reset();
    return handler(**model, request, wakeup);
  }
  return std::make_unique<AwaitedModel>(std::move(*wait), handler, error, request, wakeup);
}

http::Handler of_named_model(ModelRepository& models, ModelHandler handler, ErrorWriter error) {
  return [&models, handler = std::move(handler), error = std::move(error)](
             const http::Request& request, const http::Wakeup& wakeup) -> http::Reply {
    const std::string name = model_named_in(request.body);
    // No model is loaded for a body that nobody can read.
    if (name.empty()) {
      if (const auto json = parse_object(request.body); !json.ok())
        return error(json.status(), request.id);
    }
    return with_model(models, name, handler, error, request, wakeup);
  };
}

std::string model_named_in(std::string_view body) {
  thread_local simdjson::ondemand::parser parser;
  const simdjson::padded_string padded(body);
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return "";
  if (document.get_object().get(object) != simdjson::SUCCESS) return "";
  for (auto field : object) {
    std::string_view key, name;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return "";
    if (key != "model") continue;
    if (field.value().get_string().get(name) != simdjson::SUCCESS) return "";
    return std::string(name);
  }
  return "";
}

}  // namespace brisk::api
