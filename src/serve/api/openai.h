// OpenAI's endpoints: completions, chat completions, models.
#pragma once

#include "serve/api/metrics.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. `model` and `metrics` must outlive this and every answer it gave.
class OpenAi {
 public:
  OpenAi(const ServedModel& model, Metrics& metrics) : model_(model), metrics_(metrics) {}

  http::Reply completions(const http::Request& request, const http::Wakeup& wakeup) const;
  http::Reply chat_completions(const http::Request& request, const http::Wakeup& wakeup) const;
  http::Response models() const;
  http::Response model(const std::string& name) const;

 private:
  absl::StatusOr<http::Reply> complete(const http::Request& request,
                                       const http::Wakeup& wakeup) const;
  absl::StatusOr<http::Reply> chat(const http::Request& request, const http::Wakeup& wakeup) const;
  Json model_json(const std::string& name, const Json& parent) const;

  const ServedModel& model_;
  Metrics& metrics_;
};

}  // namespace brisk::api
