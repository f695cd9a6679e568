#include "serve/api/model_config.h"

#include <set>

#include "base/status.h"

namespace brisk::api {

absl::Status check(const ModelConfigs& configs) {
  if (configs.models.empty()) return invalid_input("there is no model to serve");
  std::set<std::string> names;
  bool has_default = configs.default_name.empty();
  const auto take = [&](const std::string& name) {
    if (name.empty()) return invalid_input("a model's name cannot be empty");
    if (name == configs.default_name) has_default = true;
    if (!names.insert(name).second) return invalid_input("two models are called {}", name);
    return absl::OkStatus();
  };
  for (const ModelConfig& model : configs.models) {
    BRISK_RETURN_IF_ERROR(take(model.name));
    for (const std::string& alias : model.aliases) BRISK_RETURN_IF_ERROR(take(alias));
    for (const auto& [adapter, path] : model.adapters) BRISK_RETURN_IF_ERROR(take(adapter));
  }
  if (!has_default)
    return invalid_input("the default model {} is none of those named", configs.default_name);
  return absl::OkStatus();
}

}  // namespace brisk::api
