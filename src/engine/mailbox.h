// The door of the engine thread: requests and cancellations go in from any thread, and stay valid
// to call after the engine is gone.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <memory>
#include <vector>

namespace brisk {

class GenerationState;

inline constexpr int kAllChoices = -1;

struct Cancellation {
  std::shared_ptr<GenerationState> generation;
  int choice = kAllChoices;
};

struct Mail {
  std::vector<std::shared_ptr<GenerationState>> submitted;  // in order of arrival
  std::vector<Cancellation> cancelled;
  bool stop = false;
};

// Any thread may call anything.
class Mailbox {
 public:
  enum class Post : uint8_t { kAccepted, kFull, kDraining };

  explicit Mailbox(int waiting_max) : waiting_max_(waiting_max) {}

  // Counts as waiting until `no_longer_waiting`.
  Post submit(std::shared_ptr<GenerationState> generation);
  void cancel(Cancellation cancellation);
  void no_longer_waiting();

  // What came since the last call, in `mail`; waits for something when `idle`.
  void collect(bool idle, Mail* mail);

  void drain();  // refuse further requests
  void stop();   // and ask the engine thread to end
  int waiting() const;

 private:
  bool has_mail() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !mail_.submitted.empty() || !mail_.cancelled.empty() || mail_.stop;
  }

  const int waiting_max_;
  mutable absl::Mutex mutex_;
  Mail mail_ ABSL_GUARDED_BY(mutex_);
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace brisk
