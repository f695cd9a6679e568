#include "serve/api/model_list.h"

#include <utility>

#include "base/json.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

// `is_adapter`: `name` is one of the model's adapters.
Json model_json(const ServedModel& model, const std::string& name, bool is_adapter) {
  return {{"id", name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "brisk"},
          {"root", is_adapter ? name : model.name()},
          {"parent", is_adapter ? Json(model.name()) : Json()},
          {"max_model_len", model.engine->context_max()}};
}

}  // namespace

http::Response list_models(const ModelRepository& models) {
  Json data = Json::array();
  for (const ModelLease& model : models.loaded()) {
    for (const std::string& name : model->names) data.push_back(model_json(*model, name, false));
    for (const auto& adapter : model->engine->adapters().list()) {
      data.push_back(model_json(*model, adapter->name, true));
    }
  }
  http::Response response;
  response.body = to_text({{"object", "list"}, {"data", std::move(data)}});
  return response;
}

http::Response describe_model(const ModelRepository& models, const std::string& name) {
  const absl::StatusOr<ModelLease> model = models.find(name);
  if (!model.ok()) return openai_error(model.status());
  http::Response response;
  response.body = to_text(model_json(**model, name, !(*model)->is_own_name(name)));
  return response;
}

}  // namespace brisk::api
