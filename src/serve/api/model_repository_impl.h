// What the repository knows of each model. Private to model_repository*.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/api/model_repository.h"

namespace brisk::api {

// One loading of a model. Guarded by the repository's mutex.
struct ModelRepository::Loaded {
  std::string name;
  std::shared_ptr<const ServedModel> model;
  int64_t bytes = 0;
  int leases = 0;
  Instant last_used;
};

// Guarded by the repository's mutex but for `config`, which is constant.
struct ModelRepository::Entry {
  ModelConfig config;
  ModelState state = ModelState::kUnloaded;
  double progress = 0;
  absl::Status fault;    // of the last load, in full
  absl::Status failure;  // the same as clients are told
  Instant failed_at;
  int64_t planned_bytes = 0;
  std::shared_ptr<Loaded> loaded;
  std::vector<ModelWait::Seat*> waiting;
  int watchers = 0;  // calls of load() that wait for it
};

struct ModelWait::Seat {
  ModelRepository::Entry* entry = nullptr;
  http::Wakeup wakeup;
  Instant deadline;
  int64_t body_bytes = 0;
};

}  // namespace brisk::api
