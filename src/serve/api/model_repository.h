// The models behind the endpoints, by the names that requests call them.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <memory>
#include <string_view>
#include <vector>

#include "serve/api/metrics.h"
#include "serve/api/running_requests.h"
#include "serve/api/served_model.h"

namespace brisk::api {

// Any thread may call anything.
class ModelRepository {
 public:
  // `metrics` must outlive this.
  explicit ModelRepository(Metrics& metrics) : metrics_(metrics) {}

  // Takes in a model that is loaded. REQUIRES: its names are new.
  void add(ServedModel model);

  // The model that `asked` names, or one of whose adapters it does; no name means the first. It
  // stays what it is for as long as the lease is held. Errors: NotFound, model_not_found.
  absl::StatusOr<ModelLease> find(std::string_view asked) const;

  std::vector<ModelLease> loaded() const;

  // Whether a model is called so, adapters aside.
  bool is_model_name(std::string_view name) const;

  // Requests of all models that are being answered.
  RunningRequests& running() { return *running_; }

  // See Engine::drain: of all models.
  void drain(double seconds);

 private:
  Metrics& metrics_;
  const std::shared_ptr<RunningRequests> running_ = std::make_shared<RunningRequests>();

  mutable absl::Mutex mutex_;
  std::vector<ModelLease> models_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace brisk::api
