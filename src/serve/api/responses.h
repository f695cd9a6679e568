// OpenAI's responses: created, found again, deleted.
#pragma once

#include <memory>
#include <string>

#include "serve/api/model_repository.h"
#include "serve/api/response_store.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread.
class Responses {
 public:
  // The answer holds the lease.
  http::Reply create(const ModelLease& model, const http::Request& request,
                     const http::Wakeup& wakeup) const;
  http::Response retrieve(const http::Request& request) const;
  http::Response remove(const http::Request& request) const;
  // What the model was given, those of the responses before among it: a page of it.
  http::Response input_items(const http::Request& request) const;

 private:
  absl::StatusOr<http::Reply> answer(const ModelLease& model, const http::Request& request,
                                     const http::Wakeup& wakeup) const;

  const std::shared_ptr<ResponseStore> store_ =
      std::make_shared<ResponseStore>();  // answers keep it
};

}  // namespace brisk::api
