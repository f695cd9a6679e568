#include "serve/api/model_list.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

Json status_json(const ModelStatus& status) {
  Json json = {{"value", name_of(status.state)}};
  if (status.state == ModelState::kLoading) {
    json["progress"] = status.progress;
    json["waiting"] = status.waiting;
  }
  if (status.state == ModelState::kLoaded) json["in_use"] = status.in_use;
  if (status.memory_bytes > 0) json["memory_bytes"] = status.memory_bytes;
  if (status.state == ModelState::kFailed) json["error"] = status.error;
  return json;
}

// `parent`: the model that an adapter belongs to, or null.
Json model_json(const ModelStatus& status, const std::string& name, const Json& parent) {
  const bool loaded = status.model != nullptr;
  return {{"id", name},
          {"object", "model"},
          {"created", loaded ? status.model->created : 0},
          {"owned_by", "brisk"},
          {"root", parent.is_null() ? status.config.name : name},
          {"parent", parent},
          {"max_model_len", loaded ? Json(status.model->engine->context_max()) : Json()},
          {"status", status_json(status)}};
}

// All names of a model, its own first, and then its adapters'.
Json models_json(const ModelStatus& status) {
  const ModelConfig& config = status.config;
  Json all = Json::array({model_json(status, config.name, nullptr)});
  for (const std::string& alias : config.aliases) all.push_back(model_json(status, alias, nullptr));
  const auto add_adapter = [&](const std::string& name) {
    all.push_back(model_json(status, name, config.name));
  };
  if (status.model == nullptr) {
    for (const auto& [name, path] : config.adapters) add_adapter(name);
  } else {
    for (const auto& adapter : status.model->engine->adapters().list()) add_adapter(adapter->name);
  }
  return all;
}

http::Response json_response(const Json& json) {
  http::Response response;
  response.body = to_text(json);
  return response;
}

}  // namespace

http::Response list_models(ModelRepository& models) {
  Json data = Json::array();
  for (const ModelStatus& status : models.statuses()) {
    for (Json& model : models_json(status)) data.push_back(std::move(model));
  }
  return json_response({{"object", "list"}, {"data", std::move(data)}});
}

http::Response describe_model(ModelRepository& models, const std::string& name) {
  const absl::StatusOr<ModelStatus> status = models.status(name);
  if (!status.ok()) return openai_error(status.status());
  const Json all = models_json(*status);
  const auto named = std::ranges::find_if(all, [&](const Json& one) { return one["id"] == name; });
  // An adapter may have gone since.
  return json_response(named == all.end() ? all[0] : *named);
}

}  // namespace brisk::api
