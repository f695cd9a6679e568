#include "engine/watchdog.h"

#include <absl/time/time.h>

#include <algorithm>

#include "base/log.h"

namespace brisk {

Watchdog::Watchdog(const Clock& clock, double seconds)
    : clock_(clock), seconds_max_(seconds), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

void Watchdog::step_begins(int tokens) {
  absl::MutexLock lock(&mutex_);
  in_step_ = true;
  began_ = clock_.now();
  tokens_ = tokens;
  was_reported_ = false;
}

void Watchdog::step_ends() {
  absl::MutexLock lock(&mutex_);
  in_step_ = false;
  if (was_reported_) {
    spdlog::error("the step that was stuck ended after {:.1f} s",
                  seconds_between(began_, clock_.now()));
  }
}

double Watchdog::stuck_seconds() const {
  absl::MutexLock lock(&mutex_);
  if (!in_step_) return 0;
  const double seconds = seconds_between(began_, clock_.now());
  return seconds > seconds_max_ ? seconds : 0;
}

void Watchdog::watch() {
  const absl::Duration period = absl::Seconds(std::clamp(seconds_max_ / 4, 0.001, 1.0));
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stop_), period)) report();
}

void Watchdog::report() {
  if (!in_step_ || was_reported_) return;
  const double seconds = seconds_between(began_, clock_.now());
  if (seconds <= seconds_max_) return;
  was_reported_ = true;
  spdlog::error(
      "a step of {} tokens has not ended after {:.1f} s: the machine is overloaded or "
      "the step is stuck",
      tokens_, seconds);
}

}  // namespace brisk
