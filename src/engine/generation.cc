#include "engine/generation.h"

#include <iterator>
#include <utility>

namespace brisk {

GenerationState::GenerationState(Request request, std::function<void()> on_events,
                                 std::shared_ptr<Mailbox> mailbox, Instant submitted)
    : request_(std::move(request)),
      on_events_(std::move(on_events)),
      mailbox_(std::move(mailbox)),
      submitted_(submitted),
      ended_(static_cast<size_t>(request_.choices), false),
      live_choices_(request_.choices) {
  stats_.choices = request_.choices;
  stats_.prompt_tokens = static_cast<int>(request_.prompt.size());
}

std::vector<TokenEvent> GenerationState::take() {
  absl::MutexLock lock(&mutex_);
  return take_events();
}

std::vector<TokenEvent> GenerationState::wait_and_take() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &GenerationState::has_news));
  return take_events();
}

// The memory stays with the engine's thread, which so need not allocate for every event.
std::vector<TokenEvent> GenerationState::take_events() {
  std::vector<TokenEvent> taken(std::make_move_iterator(events_.begin()),
                                std::make_move_iterator(events_.end()));
  events_.clear();
  if (std::exchange(stalled_, false)) mailbox_->resume(shared_from_this());
  return taken;
}

bool GenerationState::done() const {
  absl::MutexLock lock(&mutex_);
  return finished_ && events_.empty();
}

absl::Status GenerationState::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

GenerationStats GenerationState::stats() const {
  absl::MutexLock lock(&mutex_);
  return stats_;
}

std::vector<PromptLogprob> GenerationState::prompt_logprobs() const {
  absl::MutexLock lock(&mutex_);
  return prompt_logprobs_;
}

std::vector<float> GenerationState::embedding() const {
  absl::MutexLock lock(&mutex_);
  return embedding_;
}

void GenerationState::cancel_choice(int choice) {
  mailbox_->cancel({.generation = shared_from_this(), .choice = choice});
}

void GenerationState::scheduled(Instant now, int cached_tokens) {
  if (was_scheduled_) return;
  was_scheduled_ = true;
  scheduled_at_ = now;
  absl::MutexLock lock(&mutex_);
  stats_.queue_seconds = seconds_between(submitted_, now);
  stats_.cached_tokens = cached_tokens;
}

void GenerationState::deliver(TokenEvent event, Instant now) {
  const auto choice = static_cast<size_t>(event.choice);
  if (ended_[choice]) return;
  if (event.finish.has_value()) {
    ended_[choice] = true;
    --live_choices_;
  }
  bool was_empty = false;
  {
    absl::MutexLock lock(&mutex_);
    if (event.token >= 0) {
      if (stats_.completion_tokens++ == 0) {
        first_token_at_ = now;
        stats_.first_token_seconds = seconds_between(submitted_, now);
        stats_.prefill_seconds = seconds_between(scheduled_at_, now);
      }
    }
    if (all_ended()) {
      finished_ = true;
      if (stats_.completion_tokens > 0)
        stats_.decode_seconds = seconds_between(first_token_at_, now);
    }
    was_empty = events_.empty();
    events_.push_back(std::move(event));
  }
  if (was_empty && on_events_) on_events_();
}

bool GenerationState::reader_stalls(int64_t events_max) {
  absl::MutexLock lock(&mutex_);
  if (stalled_ || finished_ || std::ssize(events_) < events_max) return false;
  stalled_ = true;
  return true;
}

void GenerationState::score_prompt(std::vector<PromptLogprob> logprobs) {
  absl::MutexLock lock(&mutex_);
  prompt_logprobs_ = std::move(logprobs);
}

void GenerationState::set_embedding(std::vector<float> embedding) {
  absl::MutexLock lock(&mutex_);
  embedding_ = std::move(embedding);
}

void GenerationState::fail(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  if (status_.ok()) status_ = std::move(status);
}

}  // namespace brisk
