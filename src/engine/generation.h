// One request between the engine thread, which makes its events, and its reader, which takes them.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/mailbox.h"

namespace brisk {

// A request makes at most choices * max_tokens events; the engine pauses it when its reader leaves
// too many of them lying.
class GenerationState final : public Generation,
                              public std::enable_shared_from_this<GenerationState> {
 public:
  GenerationState(Request request, std::function<void()> on_events,
                  std::shared_ptr<Mailbox> mailbox, Instant submitted);

  // Any thread: the reader's side.
  std::vector<TokenEvent> take() override;
  std::vector<TokenEvent> wait_and_take() override;
  bool done() const override;
  absl::Status status() const override;
  GenerationStats stats() const override;
  std::vector<PromptLogprob> prompt_logprobs() const override;
  std::vector<float> embedding() const override;
  void cancel() override { cancel_choice(kAllChoices); }
  void cancel_choice(int choice) override;

  // Engine thread only.
  const Request& request() const { return request_; }
  void scheduled(Instant now, int cached_tokens);  // first time only
  void deliver(TokenEvent event, Instant now);
  void fail(absl::Status status);                          // the reason for a coming kError
  void score_prompt(std::vector<PromptLogprob> logprobs);  // before the first token
  void set_embedding(std::vector<float> embedding);        // before the first token
  // Its reader has left `events_max` events lying: true once, until it has taken them and the
  // mailbox says so.
  bool reader_stalls(int64_t events_max);
  Instant scheduled_at() const { return scheduled_at_; }
  bool choice_ended(int choice) const { return ended_[static_cast<size_t>(choice)]; }
  bool all_ended() const { return live_choices_ == 0; }
  bool was_scheduled() const { return was_scheduled_; }

 private:
  bool has_news() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !events_.empty() || finished_;
  }
  std::vector<TokenEvent> take_events() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Constant after construction.
  const Request request_;
  const std::function<void()> on_events_;
  const std::shared_ptr<Mailbox> mailbox_;
  const Instant submitted_;

  // Engine thread only.
  std::vector<bool> ended_;  // (choices)
  int live_choices_;
  bool was_scheduled_ = false;
  Instant scheduled_at_;
  Instant first_token_at_;

  mutable absl::Mutex mutex_;
  std::vector<TokenEvent> events_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool stalled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  GenerationStats stats_ ABSL_GUARDED_BY(mutex_);
  std::vector<PromptLogprob> prompt_logprobs_ ABSL_GUARDED_BY(mutex_);
  std::vector<float> embedding_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace brisk
