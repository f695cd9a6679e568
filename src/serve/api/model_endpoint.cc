#include "serve/api/model_endpoint.h"

#include <simdjson.h>

#include <utility>

namespace brisk::api {

http::Handler of_named_model(ModelRepository& models, ModelHandler handler, ErrorWriter error) {
  return [&models, handler = std::move(handler), error = std::move(error)](
             const http::Request& request, const http::Wakeup& wakeup) -> http::Reply {
    const absl::StatusOr<ModelLease> model = models.find(model_named_in(request.body));
    if (!model.ok()) return error(model.status());
    return handler(*model, request, wakeup);
  };
}

std::string model_named_in(std::string_view body) {
  thread_local simdjson::ondemand::parser parser;
  const simdjson::padded_string padded(body);
  simdjson::ondemand::document document;
  simdjson::ondemand::value value;
  std::string_view name;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return "";
  if (document.find_field_unordered("model").get(value) != simdjson::SUCCESS) return "";
  if (value.get_string().get(name) != simdjson::SUCCESS) return "";
  return std::string(name);
}

}  // namespace brisk::api
