// What the engine's thread does, step by step.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/status.h"
#include "engine/engine_impl.h"

namespace brisk {

void EngineImpl::loop() {
  Mail mail;
  while (true) {
    mailbox_->collect(idle_wait(), &mail);
    for (const auto& generation : mail.submitted) {
      if (!load_stored_prefix(generation)) accept(generation);
    }
    for (const RestoredBlocks& restored : mail.restored) restore(restored);
    for (const Cancellation& cancellation : mail.cancelled) cancel(cancellation);
    for (const auto& generation : mail.resumed) resume(generation);
    if (mail.stop) cancel_everything();
    cancel_stalled();
    if (scheduler_.has_work()) step();
    publish_stats();
    if (mail.stop) return;
  }
}

absl::Duration EngineImpl::idle_wait() const {
  if (scheduler_.has_work()) return absl::ZeroDuration();
  return stalled_.empty() ? absl::InfiniteDuration() : absl::Milliseconds(200);
}

void EngineImpl::step() {
  const Instant begin = clock_.now();
  const StepPlan& plan = scheduler_.plan();
  if (plan.empty()) return;
  note_admissions(plan);
  const Instant planned = clock_.now();
  watchdog_.step_begins(plan.tokens);
  const absl::StatusOr<MatView> logits = runner_->run(plan);
  watchdog_.step_ends();
  const Instant ran = clock_.now();
  if (!logits.ok()) return fail_step(logits.status());
  draw(plan, *logits);
  if (!pooled_.empty()) pool_prompts(plan);
  const Instant drawn = clock_.now();
  step_time_.observe(plan.tokens, plan.positions, seconds_between(planned, drawn));
  scheduler_.set_costs(step_time_.costs());
  totals_.step_tokens += plan.tokens;
  ++totals_.steps_by_tokens[static_cast<size_t>(
      std::ranges::lower_bound(kStepTokenBuckets, plan.tokens) - kStepTokenBuckets.begin())];
  deliver(scheduler_.commit(drawn_tokens_, parents_));

  totals_.run_seconds += seconds_between(planned, ran);
  totals_.sample_seconds += seconds_between(ran, drawn);
  totals_.schedule_seconds +=
      seconds_between(begin, planned) + seconds_between(drawn, clock_.now());
}

void EngineImpl::draw(const StepPlan& plan, MatView logits) {
  drawn_ = drawer_.draw(plan, logits, runner_.get());
  drawn_tokens_.clear();
  for (size_t i = 0; i < drawn_.size(); ++i) {
    const Drawn& drawn = drawn_[i];
    drawn_tokens_.push_back(drawn.status.ok() ? drawn.token : kNoToken);
    if (drawn.status.ok()) continue;
    choices_.at(plan.samples[i].sequence).generation->fail(drawn.status);
  }
  parents_.clear();
  if (!searches_.empty()) advance_beams(plan);
}

void EngineImpl::pool_prompts(const StepPlan& plan) {
  int64_t row = 0;
  for (const Slice& slice : plan.slices) {
    GenerationState* const generation = choices_.at(slice.sequence).generation.get();
    if (const auto pooled = pooled_.find(generation); pooled != pooled_.end()) {
      pooled->second.add(slice, row, *runner_);
      if (pooled->second.complete()) generation->set_embedding(pooled->second.take());
    }
    row += std::ssize(slice.tokens);
  }
}

void EngineImpl::fail_step(const absl::Status& status) {
  spdlog::error("a step failed: {}", message_of(status));
  const std::span<const SequenceEvent> events = scheduler_.fail_step();
  for (const SequenceEvent& event : events) {
    choices_.at(event.sequence).generation->fail(status);
  }
  deliver(events);
}

void EngineImpl::note_admissions(const StepPlan& plan) {
  for (const Admission& admission : plan.admitted) {
    const auto it = choices_.find(admission.sequence);
    if (it == choices_.end() || it->second.generation->was_scheduled()) continue;
    it->second.generation->scheduled(clock_.now(), admission.cached_tokens);
    totals_.prompt_tokens += std::ssize(it->second.generation->request().prompt);
    mailbox_->no_longer_waiting(*it->second.generation);
  }
}

void EngineImpl::deliver(std::span<const SequenceEvent> events) {
  totals_.generation_tokens += std::ranges::count_if(
      events, [](const SequenceEvent& event) { return event.end != EndReason::kError; });
  publish_stats();  // before the events: whoever has an answer finds it counted
  const Instant now = clock_.now();
  for (size_t i = 0; i < events.size(); ++i) {
    const SequenceEvent& event = events[i];
    if (event.end == EndReason::kError) {
      end_choice(event.sequence, FinishReason::kError);
      continue;
    }
    const auto it = choices_.find(event.sequence);
    BRISK_CHECK(it != choices_.end());
    const std::shared_ptr<GenerationState> generation = it->second.generation;
    if (generation->request().prompt_logprobs >= 0) deliver_prompt(generation.get());
    if (generation->request().beam_search.has_value()) continue;
    TokenEvent token = {.choice = it->second.index,
                        .token = event.token,
                        .logprob = drawn_[i].logprob,
                        .top = std::move(drawn_[i].top)};
    if (event.end == EndReason::kStop) token.finish = FinishReason::kStop;
    if (event.end == EndReason::kLength) token.finish = FinishReason::kLength;
    if (event.end != EndReason::kNone) {
      note_duration(seconds_between(generation->scheduled_at(), now));
      choices_.erase(it);
      drawer_.end(event.sequence);
    }
    generation->deliver(std::move(token), now);
    if (generation->all_ended()) {
      finish(generation);
    } else if (options_.unread_events_max > 0) {
      const int64_t unread_max =
          int64_t{options_.unread_events_max} * generation->request().choices;
      if (generation->reader_stalls(unread_max)) pause(generation);
    }
  }
  if (!searches_.empty()) finish_searches();
}

void EngineImpl::deliver_prompt(GenerationState* generation) {
  std::vector<PromptLogprob> logprobs = drawer_.take_prompt(first_sequence_.at(generation));
  if (!logprobs.empty()) generation->score_prompt(std::move(logprobs));
}

void EngineImpl::note_duration(double seconds) {
  constexpr double kNewest = 1.0 / 16;
  const double before = sequence_seconds_ > 0 ? sequence_seconds_ : seconds;
  sequence_seconds_ = before + (seconds - before) * kNewest;
}

void EngineImpl::publish_stats() {
  const SchedulerStats now = scheduler_.stats();
  EngineStats stats = totals_;
  stats.running = now.running;
  stats.waiting = now.waiting;
  stats.paused = now.paused;
  stats.kv_blocks = now.blocks;
  stats.kv_blocks_used = now.blocks_used;
  stats.kv_blocks_cached = now.blocks_cached;
  stats.kv_waste = now.waste;
  stats.prefix_query_tokens = now.prefix_query_tokens;
  stats.prefix_hit_tokens = now.prefix_hit_tokens;
  stats.preemptions = now.preemptions;
  stats.steps = now.steps;
  absl::MutexLock lock(&stats_mutex_);
  stats_ = stats;
  prediction_ = {
      .backlog = {.prompt_tokens = now.prompt_tokens_left,
                  .waiting = now.waiting,
                  .running = now.running,
                  .running_max = std::min(options_.sequences_max, options_.tokens_per_step_max),
                  .lacks_room = now.lacks_room,
                  .sequence_nanoseconds = std::llround(sequence_seconds_ * 1e9)},
      .costs = step_time_.costs(),
      .tokens_per_step_max = options_.tokens_per_step_max,
      .stretch_percent = options_.stretch_percent};
  unfinished_ -= std::exchange(finished_, 0);
}

}  // namespace brisk
