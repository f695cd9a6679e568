// vLLM's endpoints that load and unload adapters while the server runs. A path that comes over HTTP
// must lie inside one directory, and without such a directory both endpoints answer 403.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <string>
#include <thread>

#include "serve/api/model_repository.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. Loads run on a thread of its own, one at a time.
class LoraEndpoints {
 public:
  // `models` must outlive it.
  explicit LoraEndpoints(ModelRepository& models) : models_(models) {}
  ~LoraEndpoints();

  // {"lora_name", "lora_path"}, and "model" where there are several
  http::Reply load(const ModelLease& model, const http::Request& request,
                   const http::Wakeup& wakeup);
  // {"lora_name"}
  http::Reply unload(const http::Request& request);

 private:
  absl::StatusOr<http::Reply> begin_load(const ModelLease& model, const std::string& body,
                                         const http::Wakeup& wakeup);
  absl::StatusOr<http::Reply> do_unload(const std::string& body);

  ModelRepository& models_;

  absl::Mutex mutex_;
  bool loading_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread loader_ ABSL_GUARDED_BY(mutex_);
};

// `path` (relative ones are meant inside `directory`) with all links followed.
// Errors: PermissionDenied when that is not inside `directory`, whether or not it exists.
absl::StatusOr<std::string> path_inside(const std::string& directory, const std::string& path);

}  // namespace brisk::api
