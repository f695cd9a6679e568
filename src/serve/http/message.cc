#include "serve/http/message.h"

#include <absl/synchronization/mutex.h>

namespace brisk::http {

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

struct Wakeup::State {
  absl::Mutex mutex;
  std::function<void()> target ABSL_GUARDED_BY(mutex);
};

Wakeup::Wakeup(std::function<void()> target) : state_(std::make_shared<State>()) {
  absl::MutexLock lock(&state_->mutex);
  state_->target = std::move(target);
}

void Wakeup::wake() const {
  if (state_ == nullptr) return;
  absl::MutexLock lock(&state_->mutex);
  if (state_->target) state_->target();
}

void Wakeup::disarm() const {
  if (state_ == nullptr) return;
  std::function<void()> target;  // dropped outside the lock: it may own what it wakes
  absl::MutexLock lock(&state_->mutex);
  target.swap(state_->target);
}

}  // namespace brisk::http
