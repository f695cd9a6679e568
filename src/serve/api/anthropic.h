// Anthropic's endpoints: messages, and counting their tokens.
#pragma once

#include "serve/api/metrics.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. `model` and `metrics` must outlive this and every answer it gave.
class Anthropic {
 public:
  Anthropic(const ServedModel& model, Metrics& metrics) : model_(model), metrics_(metrics) {}

  http::Reply messages(const http::Request& request, const http::Wakeup& wakeup) const;
  http::Response count_tokens(const http::Request& request) const;

 private:
  absl::StatusOr<http::Reply> answer(const http::Request& request,
                                     const http::Wakeup& wakeup) const;
  absl::StatusOr<http::Response> count(const http::Request& request) const;

  const ServedModel& model_;
  Metrics& metrics_;
};

}  // namespace brisk::api
