// OpenAI's responses: created, found again, deleted.
#pragma once

#include <memory>
#include <string>

#include "serve/api/metrics.h"
#include "serve/api/response_store.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. `model` and `metrics` must outlive this and every answer it gave.
class Responses {
 public:
  Responses(const ServedModel& model, Metrics& metrics)
      : model_(model), metrics_(metrics), store_(std::make_shared<ResponseStore>()) {}

  http::Reply create(const http::Request& request, const http::Wakeup& wakeup) const;
  http::Response retrieve(const http::Request& request) const;
  http::Response remove(const http::Request& request) const;

 private:
  absl::StatusOr<http::Reply> answer(const http::Request& request,
                                     const http::Wakeup& wakeup) const;

  const ServedModel& model_;
  Metrics& metrics_;
  const std::shared_ptr<ResponseStore> store_;  // answers keep it
};

}  // namespace brisk::api
