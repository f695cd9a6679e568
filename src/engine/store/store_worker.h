// The thread that reads and writes the prefix store, so that no step waits for a disk.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "engine/mailbox.h"
#include "engine/store/prefix_store.h"

namespace brisk {

class StoreWorker {
 public:
  StoreWorker(std::unique_ptr<PrefixStore> store, int64_t block_bytes, int32_t block_tokens,
              std::shared_ptr<Mailbox> mailbox);
  ~StoreWorker();  // finishes what was to be saved
  StoreWorker(const StoreWorker&) = delete;
  StoreWorker& operator=(const StoreWorker&) = delete;

  // Engine thread only.

  // Blocks of the prompt that are stored, from `first_block` on without a gap.
  int64_t stored_blocks(std::span<const int32_t> prompt, int64_t first_block) const {
    return store_->blocks_of(prompt, first_block);
  }

  // Reads `blocks` blocks of the request's prompt and mails them as Mail::restored, as many as
  // could be read. False when too much is to be read already.
  bool load(std::shared_ptr<GenerationState> generation, int64_t first_block, int64_t blocks);

  // Whether there is room for one more block to save; a full queue means it will be saved when the
  // next request computes or finds it.
  bool can_save() const;
  void save(std::span<const int32_t> prefix, std::vector<std::byte> bytes);

 private:
  struct Task {
    std::shared_ptr<GenerationState> generation;  // null: save
    int64_t first_block = 0;
    int64_t blocks = 0;
    std::vector<int32_t> prefix;
    std::vector<std::byte> bytes;
  };

  void work();
  void run(Task& task);
  bool has_news() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stop_ || !tasks_.empty(); }

  const std::unique_ptr<PrefixStore> store_;
  const int64_t block_bytes_;
  const size_t block_tokens_;
  const std::shared_ptr<Mailbox> mailbox_;

  mutable absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: everything above exists before it starts
};

}  // namespace brisk
