#include "engine/engine.h"

#include <algorithm>
#include <climits>
#include <random>
#include <utility>

#include "base/status.h"
#include "engine/engine_impl.h"
#include "engine/request_validation.h"
#include "engine/store/fingerprint.h"
#include "engine/store/prefix_store.h"

namespace brisk {

EngineImpl::EngineImpl(EngineParts parts)
    : options_(std::move(parts.options)),
      model_(std::move(parts.model)),
      adapters_(*model_, options_.adapters_max),
      live_adapters_(std::move(parts.live_adapters)),
      runner_(std::move(parts.runner)),
      mailbox_(std::make_shared<Mailbox>(options_.queue_max)),
      watchdog_(clock_, options_.step_seconds_max),
      scheduler_({.policy = options_.policy,
                  .tokens_per_step_max = options_.tokens_per_step_max,
                  .stretch_percent = options_.stretch_percent,
                  .prompt_logits_per_step_max = kPromptLogitsPerStep,
                  .sequences_max = options_.sequences_max,
                  .waiting_max = INT32_MAX,  // the mailbox refuses before
                  .context_max = static_cast<int32_t>(parts.sizes.context),
                  .blocks = static_cast<int32_t>(parts.sizes.blocks),
                  .block_tokens = kKvBlockTokens,
                  .prefix_cache = options_.prefix_cache,
                  // Nobody shall aim prompts at one bucket; results do not depend on it.
                  .hash_seed = std::random_device{}()}),
      drawer_(runner_->threads(), *model_->kernels, model_->spec.vocab_size),
      store_(parts.store == nullptr
                 ? nullptr
                 : std::make_unique<StoreWorker>(std::move(parts.store), runner_->block_bytes(),
                                                 kKvBlockTokens, mailbox_)),
      context_max_(scheduler_.context_max()),
      thread_([this] { loop(); }) {}

EngineImpl::~EngineImpl() {
  mailbox_->stop();
  thread_.join();
}

absl::StatusOr<std::shared_ptr<Generation>> EngineImpl::submit(Request request,
                                                               std::function<void()> on_events) {
  BRISK_RETURN_IF_ERROR(validate(request, model_->spec.vocab_size));
  // A mean is over states that this request computes itself: no prefix is found under a salt of its
  // own.
  if (request.embed == Pooling::kMean) request.cache_salt = --private_salt_;
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (length >= context_max_) {
    return invalid_input(
        "the prompt has {} tokens, but the context holds {} and one must be left to generate",
        length, context_max_);
  }
  if (request.beam_search.has_value()) {
    BRISK_RETURN_IF_ERROR(scheduler_.check_beams_fit(request.choices, tokens_max(request)));
  }
  const double predicted = predicted_first_token_seconds(request);
  const double promised = options_.first_token_seconds_max;
  if (promised > 0 && predicted > promised && !request.background) {
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
  const Mailbox::Waiting waiting = mailbox_->waiting_before(request.priority);
  PredictionInput input;
  {
    absl::MutexLock lock(&stats_mutex_);
    input = prediction_;
  }
  input.prompt_tokens = std::ssize(request.prompt);
  input.backlog.prompt_tokens += waiting.prompt_tokens;
  // What waits beyond the new requests has run before, and goes first.
  const int64_t resumed =
      std::max<int64_t>(input.backlog.waiting - mailbox_->waiting_before(INT_MAX).requests, 0);
  input.backlog.waiting = waiting.requests + resumed;
  return static_cast<double>(predict_first_token(input)) * 1e-9;
}

int64_t EngineImpl::tokens_max(const Request& request) const {
  return std::min(std::ssize(request.prompt) + request.max_tokens, context_max_);
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
  stats.waiting = std::max(stats.waiting, mailbox_->waiting_before(INT_MAX).requests);
  stats.stuck_seconds = watchdog_.stuck_seconds();
  return stats;
}

void EngineImpl::count_unfinished(int change) {
  absl::MutexLock lock(&stats_mutex_);
  unfinished_ += change;
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const Model> model,
                                                       const EngineOptions& options) {
  BRISK_RETURN_IF_ERROR(check_options(options));
  BRISK_ASSIGN_OR_RETURN(EngineSizes sizes, settle_sizes(*model, options));
  auto live_adapters = std::make_unique<LiveAdapters>();
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<StepRunner> runner,
                         Runner::create(*model, {.threads = options.threads,
                                                 .rows_max = options.tokens_per_step_max,
                                                 .logits_rows_max = logits_rows_max(options),
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
  return std::make_unique<EngineImpl>(EngineParts{.model = std::move(model),
                                                  .options = options,
                                                  .sizes = sizes,
                                                  .live_adapters = std::move(live_adapters),
                                                  .runner = std::move(runner),
                                                  .store = std::move(store)});
}

}  // namespace brisk
