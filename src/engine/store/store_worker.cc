#include "engine/store/store_worker.h"

#include <span>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "engine/generation.h"

namespace brisk {
namespace {

constexpr int64_t kPendingBytesMax = 256 << 20;
constexpr size_t kPendingLoadsMax = 64;

}  // namespace

StoreWorker::StoreWorker(std::unique_ptr<PrefixStore> store, int64_t block_bytes,
                         int32_t block_tokens, std::shared_ptr<Mailbox> mailbox)
    : store_(std::move(store)),
      block_bytes_(block_bytes),
      block_tokens_(static_cast<size_t>(block_tokens)),
      mailbox_(std::move(mailbox)),
      thread_([this] { work(); }) {}

StoreWorker::~StoreWorker() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

bool StoreWorker::load(std::shared_ptr<GenerationState> generation, int64_t first_block,
                       int64_t blocks) {
  absl::MutexLock lock(&mutex_);
  if (tasks_.size() >= kPendingLoadsMax) return false;
  // Somebody waits for it; nobody waits for what is to be saved.
  tasks_.push_front({.generation = std::move(generation),
                     .first_block = first_block,
                     .blocks = blocks,
                     .prefix = {},
                     .bytes = {}});
  return true;
}

bool StoreWorker::can_save() const {
  absl::MutexLock lock(&mutex_);
  return std::ssize(tasks_) * block_bytes_ < kPendingBytesMax;
}

void StoreWorker::save(std::span<const int32_t> prefix, std::vector<std::byte> bytes) {
  absl::MutexLock lock(&mutex_);
  tasks_.push_back(
      {.generation = nullptr, .prefix = {prefix.begin(), prefix.end()}, .bytes = std::move(bytes)});
}

void StoreWorker::work() {
  while (true) {
    Task task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &StoreWorker::has_news));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    run(task);
  }
}

void StoreWorker::run(Task& task) {
  if (task.generation == nullptr) {
    const absl::Status status = store_->write(task.prefix, task.bytes);
    if (!status.ok()) spdlog::warn("a prefix could not be stored: {}", message_of(status));
    return;
  }
  RestoredBlocks restored = {.generation = task.generation, .first_block = task.first_block};
  const std::span<const int32_t> prompt = task.generation->request().prompt;
  for (int64_t i = 0; i < task.blocks; ++i) {
    const size_t end = static_cast<size_t>(task.first_block + i + 1) * block_tokens_;
    std::vector<std::byte> bytes(static_cast<size_t>(block_bytes_));
    if (!store_->read(prompt.first(end), bytes).ok()) break;
    restored.blocks.push_back(std::move(bytes));
  }
  mailbox_->restored(std::move(restored));
}

}  // namespace brisk
