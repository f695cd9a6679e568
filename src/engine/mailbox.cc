#include "engine/mailbox.h"

#include <iterator>
#include <utility>

#include "engine/generation.h"

namespace brisk {

Mailbox::Post Mailbox::submit(std::shared_ptr<GenerationState> generation) {
  absl::MutexLock lock(&mutex_);
  if (draining_) return Post::kDraining;
  if (waiting_requests_ >= waiting_max_) return Post::kFull;
  ++waiting_requests_;
  Waiting& waiting = waiting_[generation->request().priority];
  ++waiting.requests;
  waiting.prompt_tokens += std::ssize(generation->request().prompt);
  mail_.submitted.push_back(std::move(generation));
  return Post::kAccepted;
}

void Mailbox::cancel(Cancellation cancellation) {
  absl::MutexLock lock(&mutex_);
  mail_.cancelled.push_back(std::move(cancellation));
}

void Mailbox::resume(std::shared_ptr<GenerationState> generation) {
  absl::MutexLock lock(&mutex_);
  mail_.resumed.push_back(std::move(generation));
}

void Mailbox::restored(RestoredBlocks blocks) {
  absl::MutexLock lock(&mutex_);
  mail_.restored.push_back(std::move(blocks));
}

void Mailbox::no_longer_waiting(const GenerationState& generation) {
  absl::MutexLock lock(&mutex_);
  --waiting_requests_;
  const auto waiting = waiting_.find(generation.request().priority);
  waiting->second.prompt_tokens -= std::ssize(generation.request().prompt);
  if (--waiting->second.requests == 0) waiting_.erase(waiting);
}

void Mailbox::collect(absl::Duration wait, Mail* mail) {
  mail->submitted.clear();
  mail->cancelled.clear();
  mail->resumed.clear();
  mail->restored.clear();
  absl::MutexLock lock(&mutex_);
  if (wait > absl::ZeroDuration()) {
    mutex_.AwaitWithTimeout(absl::Condition(this, &Mailbox::has_mail), wait);
  }
  std::swap(mail->submitted, mail_.submitted);
  std::swap(mail->cancelled, mail_.cancelled);
  std::swap(mail->resumed, mail_.resumed);
  std::swap(mail->restored, mail_.restored);
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

Mailbox::Waiting Mailbox::waiting_before(int priority) const {
  absl::MutexLock lock(&mutex_);
  Waiting sum;
  for (auto it = waiting_.begin(); it != waiting_.end() && it->first <= priority; ++it) {
    sum.requests += it->second.requests;
    sum.prompt_tokens += it->second.prompt_tokens;
  }
  return sum;
}

}  // namespace brisk
