// Everything behind the routes: endpoints over the models, and what is counted of them.
#pragma once

#include <atomic>
#include <vector>

#include "serve/api/lora_endpoints.h"
#include "serve/api/metrics.h"
#include "serve/api/model_repository.h"
#include "serve/api/responses.h"
#include "serve/http/router.h"

namespace brisk::api {

// Any thread. It must outlive the server that answers its routes.
class Service {
 public:
  // Both must outlive it.
  Service(ModelRepository& models, Metrics& metrics);

  // The one table of endpoints.
  std::vector<http::Route> routes();

  // From now on /health answers 503.
  void begin_drain() { draining_ = true; }

 private:
  absl::Status liveness() const;
  absl::Status readiness() const;
  http::Response metrics_page() const;

  ModelRepository& models_;
  Metrics& metrics_;
  const Responses responses_;
  LoraEndpoints lora_;
  std::atomic<bool> draining_ = false;
};

// Errors that HTTP itself gives, in the style of the API that the path belongs to.
http::Response error_in_style(int status, std::string_view message, std::string_view path,
                              std::string_view code = {});

}  // namespace brisk::api
