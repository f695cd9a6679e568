// The door of the engine thread: requests and cancellations go in from any thread, and stay valid
// to call after the engine is gone.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace brisk {

class GenerationState;

inline constexpr int kAllChoices = -1;

struct Cancellation {
  std::shared_ptr<GenerationState> generation;
  int choice = kAllChoices;
};

// KV blocks of a request's prompt that came from the disk.
struct RestoredBlocks {
  std::shared_ptr<GenerationState> generation;
  int64_t first_block = 0;
  std::vector<std::vector<std::byte>> blocks{};
};

struct Mail {
  std::vector<std::shared_ptr<GenerationState>> submitted;  // in order of arrival
  std::vector<Cancellation> cancelled;
  std::vector<std::shared_ptr<GenerationState>> resumed;  // their readers read again
  std::vector<RestoredBlocks> restored;
  bool stop = false;
};

// Any thread may call anything.
class Mailbox {
 public:
  enum class Post : uint8_t { kAccepted, kFull, kDraining };

  explicit Mailbox(int waiting_max) : waiting_max_(waiting_max) {}

  // Counts as waiting, with the tokens of its prompt, until `no_longer_waiting`.
  Post submit(std::shared_ptr<GenerationState> generation);
  void cancel(Cancellation cancellation);
  void resume(std::shared_ptr<GenerationState> generation);
  void restored(RestoredBlocks blocks);
  void no_longer_waiting(const GenerationState& generation);

  // What came since the last call, in `mail`; waits up to `wait` for something.
  void collect(absl::Duration wait, Mail* mail);

  void drain();  // refuse further requests
  void stop();   // and ask the engine thread to end

  // Requests that were submitted and have not been scheduled yet.
  struct Waiting {
    int requests = 0;
    int64_t prompt_tokens = 0;
  };
  // Those that go before a newcomer of this priority.
  Waiting waiting_before(int priority) const;

 private:
  bool has_mail() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !mail_.submitted.empty() || !mail_.cancelled.empty() || !mail_.resumed.empty() ||
           !mail_.restored.empty() || mail_.stop;
  }

  const int waiting_max_;
  mutable absl::Mutex mutex_;
  Mail mail_ ABSL_GUARDED_BY(mutex_);
  std::map<int, Waiting> waiting_ ABSL_GUARDED_BY(mutex_);  // by priority
  int waiting_requests_ ABSL_GUARDED_BY(mutex_) = 0;        // of them
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace brisk
