// The requests that are being answered now, so that others than their clients can see and cancel
// them: GET /v1/brisk/requests, DELETE /v1/brisk/requests/{id}.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. It holds what the engine and the queue hold, so their limits are its limits.
class RunningRequests {
 public:
  struct Description {
    std::string id;     // the one of the answer: "chatcmpl-..."
    std::string model;  // as the request named it
    int key = -1;       // http::Caller::key of whoever sent it
  };

  // A request is listed while its ticket lives. One thread at a time.
  class Ticket {
   public:
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    // Someone cancelled it here; its choices end with kCancelled.
    bool cancelled() const;

   private:
    friend class RunningRequests;
    struct Entry;
    Ticket(RunningRequests& requests, int64_t number, std::shared_ptr<Entry> entry);

    RunningRequests& requests_;
    const int64_t number_;
    const std::shared_ptr<Entry> entry_;
  };

  // This must outlive the ticket.
  std::unique_ptr<Ticket> add(Description description,
                              std::vector<std::shared_ptr<Generation>> generations);

  // Where the server has several keys a caller sees, and cancels, only what came with its own.
  http::Response list(const http::Caller& caller) const;
  http::Response cancel(const http::Caller& caller, std::string_view id);

 private:
  using Entry = Ticket::Entry;
  std::vector<std::shared_ptr<Entry>> visible_to(const http::Caller& caller) const;
  void remove(int64_t number);

  const SteadyClock clock_;
  mutable absl::Mutex mutex_;
  int64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<int64_t, std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);  // oldest first
};

}  // namespace brisk::api
