// Everything behind the routes: one model, its endpoints and its metrics.
#pragma once

#include <atomic>
#include <vector>

#include "serve/api/lora_endpoints.h"
#include "serve/api/metrics.h"
#include "serve/api/openai.h"
#include "serve/api/responses.h"
#include "serve/api/served_model.h"
#include "serve/http/router.h"

namespace brisk::api {

// Any thread. It must outlive the server that answers its routes.
class Service {
 public:
  Service(ServedModel model, const MetricsOptions& metrics);

  // The one table of endpoints.
  std::vector<http::Route> routes();

  // From now on /health answers 503.
  void begin_drain() { draining_ = true; }

  const ServedModel& model() const { return model_; }
  Metrics& metrics() { return metrics_; }

 private:
  http::Response health() const;
  http::Response tokenize(const http::Request& request) const;
  http::Response detokenize(const http::Request& request) const;
  http::Response apply_template(const http::Request& request) const;

  const ServedModel model_;
  Metrics metrics_;
  const OpenAi openai_;
  const Responses responses_;
  LoraEndpoints lora_;
  std::atomic<bool> draining_ = false;
};

// Errors that HTTP itself gives, in the style of the API that the path belongs to.
http::Response error_in_style(int status, std::string_view message, std::string_view path);

}  // namespace brisk::api
