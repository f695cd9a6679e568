#include "engine/mailbox.h"

#include <utility>

namespace brisk {

Mailbox::Post Mailbox::submit(std::shared_ptr<GenerationState> generation) {
  absl::MutexLock lock(&mutex_);
  if (draining_) return Post::kDraining;
  if (waiting_ >= waiting_max_) return Post::kFull;
  ++waiting_;
  mail_.submitted.push_back(std::move(generation));
  return Post::kAccepted;
}

void Mailbox::cancel(Cancellation cancellation) {
  absl::MutexLock lock(&mutex_);
  mail_.cancelled.push_back(std::move(cancellation));
}

void Mailbox::no_longer_waiting() {
  absl::MutexLock lock(&mutex_);
  --waiting_;
}

void Mailbox::collect(bool idle, Mail* mail) {
  mail->submitted.clear();
  mail->cancelled.clear();
  absl::MutexLock lock(&mutex_);
  if (idle) mutex_.Await(absl::Condition(this, &Mailbox::has_mail));
  std::swap(mail->submitted, mail_.submitted);
  std::swap(mail->cancelled, mail_.cancelled);
  mail->stop = mail_.stop;
}

void Mailbox::drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
}

void Mailbox::stop() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  mail_.stop = true;
}

int Mailbox::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_;
}

}  // namespace brisk
