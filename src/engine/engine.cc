#include "engine/engine.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/memory.h"
#include "engine/draw.h"
#include "engine/generation.h"
#include "engine/mailbox.h"
#include "engine/request_validation.h"
#include "engine/runner.h"
#include "engine/sched/scheduler.h"
#include "engine/sched/wait_prediction.h"
#include "engine/step_time.h"
#include "engine/store/fingerprint.h"
#include "engine/store/prefix_store.h"
#include "engine/store/store_worker.h"
#include "engine/watchdog.h"

namespace brisk {
namespace {

// Shorter prompts are computed again sooner than they are looked for.
constexpr int64_t kStoredBlocksMin = 4;

// Rows of logits for prompts that ask for all of theirs, beside those that are drawn from.
constexpr int kPromptLogitsPerStep = 32;

// What EngineOptions leave open, settled.
struct Sizes {
  KvElement element = KvElement::kF32;
  int64_t blocks = 0;
  int64_t context = 0;
};

absl::StatusOr<Sizes> settle_sizes(const Model& model, const EngineOptions& options) {
  Sizes sizes;
  sizes.element = kv_element_for(model, options.kv_dtype);
  sizes.context = model.spec.context_length;
  if (options.context_max > 0) sizes.context = std::min(sizes.context, options.context_max);
  const int64_t block_bytes = kv_block_bytes(model.spec, sizes.element);
  if (options.kv_tokens > 0) {
    sizes.blocks = ceil_div<int64_t>(options.kv_tokens, kKvBlockTokens);
  } else {
    const int64_t bytes =
        options.kv_bytes_max > 0 ? options.kv_bytes_max : available_memory_bytes() / 2;
    const int64_t useful = ceil_div<int64_t>(sizes.context, kKvBlockTokens) * options.sequences_max;
    sizes.blocks = std::min(bytes / block_bytes, useful);
  }
  sizes.blocks = std::min<int64_t>(sizes.blocks, INT32_MAX);
  const int64_t slots = sizes.blocks * kKvBlockTokens;
  if (sizes.blocks < 1 || (options.context_max > 0 && slots < sizes.context)) {
    return exhausted(
        "a KV cache of {} ({} tokens) does not hold one sequence of {} tokens, which takes {}; "
        "allow more memory or a shorter context",
        human_bytes(static_cast<uint64_t>(sizes.blocks * block_bytes)), slots, sizes.context,
        human_bytes(
            static_cast<uint64_t>(ceil_div<int64_t>(sizes.context, kKvBlockTokens) * block_bytes)));
  }
  if (slots < sizes.context) {
    spdlog::warn("memory holds {} tokens of KV: sequences end there, not at the model's {}", slots,
                 sizes.context);
    sizes.context = slots;
  }
  return sizes;
}

absl::Status check_options(const EngineOptions& options) {
  if (options.threads < 0 || options.threads > 1024) {
    return invalid_input("threads must be 1 to 1024 (0: all), not {}", options.threads);
  }
  if (options.tokens_per_step_max < 1 || options.tokens_per_step_max > 1 << 20) {
    return invalid_input("tokens per step must be 1 to 1048576, not {}",
                         options.tokens_per_step_max);
  }
  if (options.sequences_max < 1 || options.sequences_max > 1 << 16) {
    return invalid_input("sequences must be 1 to 65536, not {}", options.sequences_max);
  }
  if (options.queue_max < 1) return invalid_input("the queue must hold at least one request");
  if (options.adapters_max < 0) return invalid_input("the number of adapters cannot be negative");
  if (options.stretch_percent != 0 && options.stretch_percent <= 100) {
    return invalid_input("steps can be stretched to more than 100 percent, not to {}",
                         options.stretch_percent);
  }
  if (options.first_token_seconds_max < 0 || options.unread_events_max < 0 ||
      options.unread_seconds_max <= 0 || options.step_seconds_max <= 0) {
    return invalid_input("limits of time and of unread events must be positive");
  }
  return absl::OkStatus();
}

PrefixScope scope_of(const Request& request) {
  return {.salt = request.cache_salt,
          .adapter = request.adapter == nullptr ? 0 : request.adapter->id};
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(std::shared_ptr<const Model> model, const EngineOptions& options, const Sizes& sizes,
             std::unique_ptr<LiveAdapters> live_adapters, std::unique_ptr<StepRunner> runner,
             std::unique_ptr<PrefixStore> store)
      : options_(options),
        model_(std::move(model)),
        adapters_(*model_, options.adapters_max),
        live_adapters_(std::move(live_adapters)),
        runner_(std::move(runner)),
        mailbox_(std::make_shared<Mailbox>(options.queue_max)),
        watchdog_(clock_, options.step_seconds_max),
        scheduler_({.policy = options.policy,
                    .tokens_per_step_max = options.tokens_per_step_max,
                    .stretch_percent = options.stretch_percent,
                    .prompt_logits_per_step_max = kPromptLogitsPerStep,
                    .sequences_max = options.sequences_max,
                    .waiting_max = INT32_MAX,  // the mailbox refuses before
                    .context_max = static_cast<int32_t>(sizes.context),
                    .blocks = static_cast<int32_t>(sizes.blocks),
                    .block_tokens = kKvBlockTokens,
                    .prefix_cache = options.prefix_cache,
                    // Nobody shall aim prompts at one bucket; results do not depend on it.
                    .hash_seed = std::random_device{}()}),
        drawer_(runner_->threads(), *model_->kernels),
        store_(store == nullptr
                   ? nullptr
                   : std::make_unique<StoreWorker>(std::move(store), runner_->block_bytes(),
                                                   kKvBlockTokens, mailbox_)),
        context_max_(scheduler_.context_max()),
        thread_([this] { loop(); }) {}

  ~EngineImpl() override {
    mailbox_->stop();
    thread_.join();
  }

  absl::StatusOr<std::shared_ptr<Generation>> submit(Request request,
                                                     std::function<void()> on_events) override;
  void drain(double seconds) override;
  EngineStats stats() const override;
  AdapterRegistry& adapters() override { return adapters_; }
  const Model& model() const override { return *model_; }
  int64_t context_max() const override { return context_max_; }

 private:
  // A sequence of the scheduler: one choice of one request.
  struct Choice {
    std::shared_ptr<GenerationState> generation;
    int index = 0;
  };

  void loop();
  absl::Duration idle_wait() const;
  double predicted_first_token_seconds(const Request& request) const;
  void pause(const std::shared_ptr<GenerationState>& generation);
  void resume(const std::shared_ptr<GenerationState>& generation);
  void cancel_stalled();
  bool load_stored_prefix(const std::shared_ptr<GenerationState>& generation);
  void restore(const RestoredBlocks& restored);
  void store_prefix(const Request& request);
  void end_loading(const Cancellation& which, FinishReason reason);
  void fail_step(const absl::Status& status);
  void accept(const std::shared_ptr<GenerationState>& generation);
  void cancel(const Cancellation& cancellation);
  void end_choices(const Cancellation& which, FinishReason reason);
  void end_choice(SequenceId id, FinishReason reason);
  void step();
  void draw(const StepPlan& plan, MatView logits);
  void note_admissions(const StepPlan& plan);
  void deliver(std::span<const SequenceEvent> events);
  void deliver_prompt(GenerationState* generation);
  void note_duration(double seconds);
  std::vector<int32_t> end_tokens(const Request& request) const;
  void publish_stats();
  void cancel_everything();
  void finish(const std::shared_ptr<GenerationState>& generation);
  void count_unfinished(int change);
  bool idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(stats_mutex_) { return unfinished_ == 0; }

  // Constant after construction.
  const EngineOptions options_;
  const std::shared_ptr<const Model> model_;
  AdapterRegistry adapters_;                           // itself for any thread
  const std::unique_ptr<LiveAdapters> live_adapters_;  // engine thread only; outlives the runner
  const std::unique_ptr<StepRunner> runner_;
  const std::shared_ptr<Mailbox> mailbox_;
  const SteadyClock clock_;
  Watchdog watchdog_;

  // Engine thread only.
  Scheduler scheduler_;
  absl::flat_hash_map<SequenceId, Choice> choices_;
  absl::flat_hash_map<const GenerationState*, SequenceId> first_sequence_;
  Drawer drawer_;
  std::span<Drawn> drawn_;             // parallel to the open plan's samples
  std::vector<int32_t> drawn_tokens_;  // of them
  struct Stalled {
    std::shared_ptr<GenerationState> generation;
    Instant since;
  };
  std::vector<std::shared_ptr<GenerationState>> loading_;  // wait for the disk
  std::vector<Stalled> stalled_;                           // paused: their readers do not read
  StepTimeModel step_time_;
  double sequence_seconds_ = 0;  // from admission to end, lately
  EngineStats totals_;           // only the totals
  int finished_ = 0;             // requests, since the last publish_stats

  mutable absl::Mutex stats_mutex_;
  EngineStats stats_ ABSL_GUARDED_BY(stats_mutex_);
  PredictionInput prediction_ ABSL_GUARDED_BY(stats_mutex_);  // without what the mailbox knows
  int unfinished_ ABSL_GUARDED_BY(stats_mutex_) = 0;  // requests, from submit to their last event

  const std::unique_ptr<StoreWorker> store_;  // may be null
  const int64_t context_max_;
  std::thread thread_;  // last: everything above exists before it starts
};

absl::StatusOr<std::shared_ptr<Generation>> EngineImpl::submit(Request request,
                                                               std::function<void()> on_events) {
  BRISK_RETURN_IF_ERROR(validate(request, model_->spec.vocab_size));
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (length >= context_max_) {
    return invalid_input(
        "the prompt has {} tokens, but the context holds {} and one must be left to generate",
        length, context_max_);
  }
  const double predicted = predicted_first_token_seconds(request);
  const double promised = options_.first_token_seconds_max;
  if (promised > 0 && predicted > promised) {
    return with_retry_after(
        exhausted("the first token would take about {:.1f} s, and this server promises {:.1f} s; "
                  "try again later",
                  predicted, promised),
        predicted - promised);
  }
  auto generation = std::make_shared<GenerationState>(std::move(request), std::move(on_events),
                                                      mailbox_, clock_.now());
  count_unfinished(1);
  const Mailbox::Post post = mailbox_->submit(generation);
  if (post == Mailbox::Post::kAccepted) return generation;
  count_unfinished(-1);
  if (post == Mailbox::Post::kFull) {
    return with_retry_after(exhausted("the queue is full; try again later"), predicted);
  }
  return system_error("the engine is shutting down");
}

double EngineImpl::predicted_first_token_seconds(const Request& request) const {
  const Mailbox::Waiting waiting = mailbox_->waiting();
  PredictionInput input;
  {
    absl::MutexLock lock(&stats_mutex_);
    input = prediction_;
  }
  input.prompt_tokens = std::ssize(request.prompt);
  input.backlog.prompt_tokens += waiting.prompt_tokens;
  input.backlog.waiting = std::max<int64_t>(input.backlog.waiting, waiting.requests);
  return static_cast<double>(predict_first_token(input)) * 1e-9;
}

void EngineImpl::drain(double seconds) {
  mailbox_->drain();
  {
    absl::MutexLock lock(&stats_mutex_);
    stats_mutex_.AwaitWithTimeout(absl::Condition(this, &EngineImpl::idle), absl::Seconds(seconds));
  }
  mailbox_->cancel({.generation = nullptr, .choice = kAllChoices});
  absl::MutexLock lock(&stats_mutex_);
  stats_mutex_.Await(absl::Condition(this, &EngineImpl::idle));
}

EngineStats EngineImpl::stats() const {
  absl::MutexLock lock(&stats_mutex_);
  EngineStats stats = stats_;
  stats.waiting = std::max(stats.waiting, mailbox_->waiting().requests);
  stats.stuck_seconds = watchdog_.stuck_seconds();
  return stats;
}

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

void EngineImpl::pause(const std::shared_ptr<GenerationState>& generation) {
  const SequenceId begin = first_sequence_.at(generation.get());
  for (int i = 0; i < generation->request().choices; ++i) scheduler_.pause({begin.value + i});
  stalled_.push_back({.generation = generation, .since = clock_.now()});
}

void EngineImpl::resume(const std::shared_ptr<GenerationState>& generation) {
  std::erase_if(stalled_, [&](const Stalled& one) { return one.generation == generation; });
  const auto first = first_sequence_.find(generation.get());
  if (first == first_sequence_.end()) return;  // it has ended
  for (int i = 0; i < generation->request().choices; ++i) {
    scheduler_.resume({first->second.value + i});
  }
}

void EngineImpl::cancel_stalled() {
  const Instant now = clock_.now();
  for (size_t i = stalled_.size(); i-- > 0;) {  // ending one takes it out
    const std::shared_ptr<GenerationState> generation = stalled_[i].generation;
    if (seconds_between(stalled_[i].since, now) < options_.unread_seconds_max) continue;
    generation->fail(absl::DeadlineExceededError(
        fmt::format("nobody read the answer for {} s", options_.unread_seconds_max)));
    end_choices({.generation = generation, .choice = kAllChoices}, FinishReason::kError);
  }
}

// Whether the request waits for blocks of its prompt from the disk, which has those of no scope.
bool EngineImpl::load_stored_prefix(const std::shared_ptr<GenerationState>& generation) {
  const Request& request = generation->request();
  if (store_ == nullptr || scope_of(request) != PrefixScope{} || request.prompt_logprobs >= 0)
    return false;
  // The last token is computed anyway.
  const auto prompt = std::span(request.prompt).first(request.prompt.size() - 1);
  const int64_t cached = std::ssize(scheduler_.find_cached(prompt, {}));
  const int64_t stored = store_->stored_blocks(prompt, cached);
  if (stored == 0 || !store_->load(generation, cached, stored)) return false;
  loading_.push_back(generation);
  return true;
}

void EngineImpl::restore(const RestoredBlocks& restored) {
  // It may have been cancelled meanwhile.
  if (std::erase(loading_, restored.generation) == 0) return;
  const Request& request = restored.generation->request();
  const auto blocks = static_cast<size_t>(restored.first_block) + restored.blocks.size();
  const auto prefix = std::span(request.prompt).first(blocks * kKvBlockTokens);
  // What is cached by now need not be what was when it was looked up.
  const auto cached = static_cast<size_t>(std::ssize(scheduler_.find_cached(prefix, {})));
  const auto first = static_cast<size_t>(restored.first_block);
  if (cached >= first && cached < blocks) {
    const std::vector<BlockId> room =
        scheduler_.restore(prefix, {}, static_cast<int64_t>(blocks - cached));
    for (size_t i = 0; i < room.size(); ++i) {
      runner_->write_block(room[i], restored.blocks[cached - first + i]);
    }
    totals_.restored_tokens += std::ssize(room) * kKvBlockTokens;
  }
  accept(restored.generation);
}

// Saves the blocks of the prompt that are cached and not stored yet.
void EngineImpl::store_prefix(const Request& request) {
  if (store_ == nullptr || scope_of(request) != PrefixScope{}) return;
  const std::span<const BlockId> cached = scheduler_.find_cached(request.prompt, {});
  if (std::ssize(cached) < kStoredBlocksMin) return;
  auto next = static_cast<size_t>(store_->stored_blocks(request.prompt, 0));
  for (; next < cached.size() && store_->can_save(); ++next) {
    std::vector<std::byte> bytes(static_cast<size_t>(runner_->block_bytes()));
    runner_->read_block(cached[next], bytes);
    store_->save(std::span(request.prompt).first((next + 1) * kKvBlockTokens), std::move(bytes));
  }
}

void EngineImpl::accept(const std::shared_ptr<GenerationState>& generation) {
  const Request& request = generation->request();
  auto first = scheduler_.submit({.prompt = request.prompt,
                                  .max_tokens = request.max_tokens,
                                  .choices = request.choices,
                                  .priority = request.priority,
                                  .tenant = request.tenant,
                                  .scope = scope_of(request),
                                  .stop_tokens = end_tokens(request),
                                  .prompt_logits = request.prompt_logprobs >= 0});
  if (!first.ok()) {
    generation->fail(first.status());
    for (int i = 0; i < request.choices; ++i) {
      generation->deliver({.choice = i, .finish = FinishReason::kError}, clock_.now());
    }
    return finish(generation);
  }
  live_adapters_->add(request.adapter);
  first_sequence_[generation.get()] = *first;
  if (request.prompt_logprobs >= 0) drawer_.begin_prompt(*first, request);
  for (int i = 0; i < request.choices; ++i) {
    if (generation->choice_ended(i)) {  // cancelled while it waited for the disk
      scheduler_.cancel({first->value + i});
      continue;
    }
    const SequenceId id{first->value + i};
    choices_[id] = {.generation = generation, .index = i};
    drawer_.begin({.id = id, .request = &request, .choice = i, .end_tokens = end_tokens(request)});
  }
}

std::vector<int32_t> EngineImpl::end_tokens(const Request& request) const {
  std::vector<int32_t> tokens = request.stop_tokens;
  if (request.ignore_eos) return tokens;
  const auto& own = model_->checkpoint->config.eos_tokens;
  tokens.insert(tokens.end(), own.begin(), own.end());
  if (model_->tokenizer != nullptr) {
    const auto& ends = model_->tokenizer->rules().end_of_generation;
    tokens.insert(tokens.end(), ends.begin(), ends.end());
  }
  // Configurations and tokenizers may name ends that the vocabulary lacks; they are never drawn.
  std::erase_if(tokens,
                [this](int32_t token) { return token < 0 || token >= model_->spec.vocab_size; });
  return tokens;
}

void EngineImpl::cancel(const Cancellation& cancellation) {
  if (cancellation.generation == nullptr) return cancel_everything();
  end_choices(cancellation, FinishReason::kCancelled);
}

void EngineImpl::end_choices(const Cancellation& which, FinishReason reason) {
  if (std::ranges::count(loading_, which.generation) > 0) return end_loading(which, reason);
  const auto first = first_sequence_.find(which.generation.get());
  if (first == first_sequence_.end()) return;  // it has ended
  const SequenceId begin = first->second;
  const int choices = which.generation->request().choices;
  for (int i = 0; i < choices; ++i) {
    if (which.choice != kAllChoices && which.choice != i) continue;
    const SequenceId id{begin.value + i};
    if (!choices_.contains(id)) continue;
    scheduler_.cancel(id);
    end_choice(id, reason);
  }
}

// Choices of a request that waits for the disk.
void EngineImpl::end_loading(const Cancellation& which, FinishReason reason) {
  const std::shared_ptr<GenerationState> generation = which.generation;
  for (int i = 0; i < generation->request().choices; ++i) {
    if (which.choice != kAllChoices && which.choice != i) continue;
    generation->deliver({.choice = i, .finish = reason}, clock_.now());
  }
  if (!generation->all_ended()) return;
  std::erase(loading_, generation);
  finish(generation);
}

void EngineImpl::cancel_everything() {
  while (!loading_.empty()) {
    end_loading({.generation = loading_.back(), .choice = kAllChoices}, FinishReason::kCancelled);
  }
  std::vector<SequenceId> ids;
  for (const auto& [id, choice] : choices_) ids.push_back(id);
  for (const SequenceId id : ids) {
    scheduler_.cancel(id);
    end_choice(id, FinishReason::kCancelled);
  }
}

// A choice that ends without a token of its own.
void EngineImpl::end_choice(SequenceId id, FinishReason reason) {
  const auto it = choices_.find(id);
  const std::shared_ptr<GenerationState> generation = it->second.generation;
  const int index = it->second.index;
  choices_.erase(it);
  drawer_.end(id);
  generation->deliver({.choice = index, .finish = reason}, clock_.now());
  if (generation->all_ended()) finish(generation);
}

void EngineImpl::finish(const std::shared_ptr<GenerationState>& generation) {
  if (!generation->was_scheduled()) mailbox_->no_longer_waiting(*generation);
  std::erase_if(stalled_, [&](const Stalled& one) { return one.generation == generation; });
  if (generation->was_scheduled()) store_prefix(generation->request());
  if (const auto first = first_sequence_.find(generation.get()); first != first_sequence_.end()) {
    drawer_.end_prompt(first->second);
    first_sequence_.erase(first);
    live_adapters_->remove(generation->request().adapter);
  }
  ++finished_;
}

void EngineImpl::count_unfinished(int change) {
  absl::MutexLock lock(&stats_mutex_);
  unfinished_ += change;
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
  const Instant drawn = clock_.now();
  step_time_.observe(plan.tokens, plan.positions, seconds_between(planned, drawn));
  scheduler_.set_costs(step_time_.costs());
  totals_.step_tokens += plan.tokens;
  ++totals_.steps_by_tokens[static_cast<size_t>(
      std::ranges::lower_bound(kStepTokenBuckets, plan.tokens) - kStepTokenBuckets.begin())];
  deliver(scheduler_.commit(drawn_tokens_));

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
    TokenEvent token = {.choice = it->second.index,
                        .token = event.token,
                        .logprob = drawn_[i].logprob,
                        .top = std::move(drawn_[i].top)};
    if (event.end == EndReason::kStop) token.finish = FinishReason::kStop;
    if (event.end == EndReason::kLength) token.finish = FinishReason::kLength;
    ++totals_.generation_tokens;
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

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const Model> model,
                                                       const EngineOptions& options) {
  BRISK_RETURN_IF_ERROR(check_options(options));
  BRISK_ASSIGN_OR_RETURN(const Sizes sizes, settle_sizes(*model, options));
  auto live_adapters = std::make_unique<LiveAdapters>();
  BRISK_ASSIGN_OR_RETURN(
      std::unique_ptr<StepRunner> runner,
      Runner::create(*model, {.threads = options.threads,
                              .rows_max = options.tokens_per_step_max,
                              .logits_rows_max = std::min<int64_t>(options.sequences_max,
                                                                   options.tokens_per_step_max) +
                                                 kPromptLogitsPerStep,
                              .kv_element = sizes.element,
                              .kv_blocks = sizes.blocks,
                              .adapters = live_adapters.get()}));
  if (options.wrap_runner != nullptr) runner = options.wrap_runner(std::move(runner));
  std::unique_ptr<PrefixStore> store;
  if (!options.store_directory.empty()) {
    BRISK_ASSIGN_OR_RETURN(store,
                           PrefixStore::open({.directory = options.store_directory,
                                              .bytes_max = options.store_bytes_max,
                                              .fingerprint = kv_fingerprint(*model, sizes.element),
                                              .block_bytes = runner->block_bytes(),
                                              .block_tokens = kKvBlockTokens}));
  }
  return std::make_unique<EngineImpl>(std::move(model), options, sizes, std::move(live_adapters),
                                      std::move(runner), std::move(store));
}

}  // namespace brisk
