// Notices a step that does not end, and says so: in the log, and to whoever asks.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <thread>

#include "base/clock.h"

namespace brisk {

class Watchdog {
 public:
  // Steps longer than `seconds` are reported. `clock` must outlive this.
  Watchdog(const Clock& clock, double seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // The thread that makes the steps. `tokens` are for the report.
  void step_begins(int tokens);
  void step_ends();

  // How long the present step has taken beyond the limit; 0: it has not. Any thread.
  double stuck_seconds() const;

 private:
  void watch();
  void report() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const double seconds_max_;

  mutable absl::Mutex mutex_;
  bool in_step_ ABSL_GUARDED_BY(mutex_) = false;
  Instant began_ ABSL_GUARDED_BY(mutex_);
  int tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  bool was_reported_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: everything above exists before it starts
};

}  // namespace brisk
