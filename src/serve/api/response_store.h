// The responses that clients may go on from: in memory, so many and so long.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <list>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/json.h"

namespace brisk::api {

struct StoredResponse {
  std::string id;
  int key = -1;       // of the client: nobody else finds it
  Json body;          // as it was answered
  OrderedJson items;  // the conversation up to and with its output
  size_t inputs = 0;  // of the items: those that the model was given
};

struct ResponseStoreLimits {
  size_t count_max = 1000;
  size_t bytes_max = size_t{64} << 20;
  double seconds_max = 24 * 3600;
};

// Any thread. The oldest go first when there are too many.
class ResponseStore {
 public:
  explicit ResponseStore(ResponseStoreLimits limits = {}) : limits_(limits) {}

  // Larger ones than all may have together are not kept.
  void add(StoredResponse response);
  // Errors: NotFound.
  absl::StatusOr<std::shared_ptr<const StoredResponse>> find(const std::string& id, int key);
  absl::Status remove(const std::string& id, int key);

 private:
  struct Entry {
    std::shared_ptr<const StoredResponse> response;
    size_t bytes = 0;
    Instant added;
  };
  using Entries = std::list<Entry>;

  void drop(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void drop_expired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Entries::iterator> look_up(const std::string& id, int key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ResponseStoreLimits limits_;
  const SteadyClock clock_;

  absl::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // the oldest first
  absl::flat_hash_map<std::string, Entries::iterator> by_id_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace brisk::api
