// The engine behind engine.h. Private to engine/: engine.cc is what any thread may call,
// engine_requests.cc how requests come and go, engine_step.cc what a step does, engine_beams.cc how
// searches go on in it.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "engine/beam_search.h"
#include "engine/draw.h"
#include "engine/embeddings.h"
#include "engine/engine.h"
#include "engine/engine_sizes.h"
#include "engine/generation.h"
#include "engine/mailbox.h"
#include "engine/runner.h"
#include "engine/sched/scheduler.h"
#include "engine/sched/wait_prediction.h"
#include "engine/step_time.h"
#include "engine/store/store_worker.h"
#include "engine/watchdog.h"

namespace brisk {

struct EngineParts {
  std::shared_ptr<const Model> model;
  EngineOptions options;
  EngineSizes sizes;
  std::unique_ptr<LiveAdapters> live_adapters;
  std::unique_ptr<StepRunner> runner;
  std::unique_ptr<PrefixStore> store;  // may be null
};

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(EngineParts parts);
  ~EngineImpl() override;

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
  int64_t tokens_max(const Request& request) const;  // of a sequence, with the prompt
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
  int begin_search(const GenerationState* generation, std::vector<int32_t> end_tokens);
  void advance_beams(const StepPlan& plan);
  void finish_searches();
  void deliver_answers(const std::shared_ptr<GenerationState>& generation);
  void pool_prompts(const StepPlan& plan);
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
  std::vector<int32_t> parents_;       // of them; empty: nobody searches
  absl::flat_hash_map<const GenerationState*, BeamSearch> searches_;
  absl::flat_hash_map<const GenerationState*, PooledPrompt> pooled_;
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

  std::atomic<uint64_t> private_salt_ = 0;    // counts down, far from what clients' salts hash to
  const std::unique_ptr<StoreWorker> store_;  // may be null
  const int64_t context_max_;
  std::thread thread_;  // last: everything above exists before it starts
};

}  // namespace brisk
