// The batches that are being worked off: a thread that gives their lines to a LineRunner, a line of
// each in turn, and ends them.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_set.h>
#include <absl/synchronization/mutex.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "serve/batch/batch_input.h"
#include "serve/batch/batch_store.h"
#include "serve/batch/line_runner.h"
#include "serve/http/key_ring.h"

namespace brisk::batch {

class BatchWork final : private LineSource {
 public:
  // `store` must outlive this.
  BatchWork(BatchStore& store, std::vector<http::Route> endpoints,
            std::shared_ptr<const http::KeyRing> keys, const InputLimits& limits, int width);
  ~BatchWork() override;

  // Takes up every batch of the store that has not ended, and works from now on.
  void start();
  void stop();

  // Any thread: a batch is in the store from now on, with the status "validating".
  void add(const Document& batch);
  // Any thread: cancels a batch that has not ended. The batch as it is then; nothing: it has ended.
  std::optional<Json> cancel(const std::string& id);
  // Any thread: what the batch has done so far; null: it is not being worked on.
  Json counts(const std::string& id) const;
  std::vector<std::string> endpoints() const { return runner_.endpoints(); }

 private:
  struct Job {
    std::string id;
    std::string owner;
    int64_t expires_at = 0;
    Json batch;
    std::optional<BatchInput> input;  // once it was found right
    absl::flat_hash_set<int64_t> done;
    int64_t next = 0;
    int64_t succeeded = 0;
    int64_t failed = 0;
    bool cancelled = false;
    bool gone = false;  // its key is
    bool over() const;  // no more of its lines are begun
  };

  void run();
  void take_new_jobs();
  absl::Status validate(Job& job);
  absl::Status resume(Job& job);
  void end_jobs();
  absl::Status finish(Job& job);
  std::optional<LineWork> next(const Admits& admits) override;
  std::optional<LineWork> next_of(Job& job);
  bool is_wanted(const LineWork& work) const override;
  void put(std::vector<LineResult> results) override;
  Job* job_of(const std::string& id) const;

  // Constant after construction
  BatchStore& store_;
  const std::shared_ptr<const http::KeyRing> keys_;
  const InputLimits limits_;

  const SteadyClock clock_;

  // Worker thread only
  LineRunner runner_;
  size_t turn_ = 0;

  mutable absl::Mutex mutex_;
  std::vector<Document> new_ ABSL_GUARDED_BY(mutex_);
  // The list, `cancelled` and the counts change under the mutex; the rest is the worker's own.
  std::vector<std::unique_ptr<Job>> jobs_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace brisk::batch
