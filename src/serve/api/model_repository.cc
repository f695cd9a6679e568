#include "serve/api/model_repository.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/status.h"
#include "serve/api/errors.h"

namespace brisk::api {

void ModelRepository::add(ServedModel model) {
  model.grammars = std::make_shared<GrammarCache>(model.engine->model());
  model.metrics = &metrics_.of_model(model.name(), model.engine->context_max());
  model.running = running_;
  absl::MutexLock lock(&mutex_);
  models_.push_back(std::make_shared<const ServedModel>(std::move(model)));
}

absl::StatusOr<ModelLease> ModelRepository::find(std::string_view asked) const {
  const std::vector<ModelLease> models = loaded();
  for (const ModelLease& model : models) {
    if (model->adapter_named(asked).ok()) return model;
  }
  if (models.empty()) return not_found("this server has no model");
  return models.front()->check_name(asked);
}

std::vector<ModelLease> ModelRepository::loaded() const {
  absl::MutexLock lock(&mutex_);
  return models_;
}

bool ModelRepository::is_model_name(std::string_view name) const {
  const std::vector<ModelLease> models = loaded();
  return std::ranges::any_of(models,
                             [&](const ModelLease& model) { return model->is_own_name(name); });
}

void ModelRepository::drain(double seconds) {
  const SteadyClock clock;
  const Instant begin = clock.now();
  for (const ModelLease& model : loaded()) {
    model->engine->drain(std::max(0.0, seconds - seconds_between(begin, clock.now())));
  }
}

}  // namespace brisk::api
