// vLLM's endpoints that load and unload adapters while the server runs. A path that comes over HTTP
// must lie inside one directory, and without such a directory both endpoints answer 403.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <string>
#include <thread>

#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. `model` must outlive it. Loads run on a thread of its own, one at a time.
class LoraEndpoints {
 public:
  LoraEndpoints(const ServedModel& model, std::string directory)
      : model_(model), directory_(std::move(directory)) {}
  ~LoraEndpoints();

  // {"lora_name", "lora_path"}
  http::Reply load(const http::Request& request, const http::Wakeup& wakeup);
  // {"lora_name"}
  http::Reply unload(const http::Request& request);

 private:
  absl::StatusOr<http::Reply> begin_load(const std::string& body, const http::Wakeup& wakeup);
  absl::StatusOr<http::Reply> do_unload(const std::string& body);

  const ServedModel& model_;
  const std::string directory_;  // empty: the endpoints are closed

  absl::Mutex mutex_;
  bool loading_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread loader_ ABSL_GUARDED_BY(mutex_);
};

// `path` (relative ones are meant inside `directory`) with all links followed.
// Errors: PermissionDenied when that is not inside `directory`, whether or not it exists.
absl::StatusOr<std::string> path_inside(const std::string& directory, const std::string& path);

}  // namespace brisk::api
