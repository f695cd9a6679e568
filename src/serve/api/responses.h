// OpenAI's responses: created, found again, deleted.
#pragma once

#include <memory>
#include <string>

#include "serve/api/metrics.h"
#include "serve/api/response_store.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread.
class Responses {
 public:
  // `model` and `metrics` must outlive the answer.
  http::Reply create(const ServedModel& model, Metrics& metrics, const http::Request& request,
                     const http::Wakeup& wakeup) const;
  http::Response retrieve(const http::Request& request) const;
  http::Response remove(const http::Request& request) const;

 private:
  absl::StatusOr<http::Reply> answer(const ServedModel& model, Metrics& metrics,
                                     const http::Request& request,
                                     const http::Wakeup& wakeup) const;

  // Answers keep it.
  const std::shared_ptr<ResponseStore> store_ = std::make_shared<ResponseStore>();
};

}  // namespace brisk::api
