// The engine: many requests, one model, one thread that owns all scheduling state.
//
// Contract
// - `submit` either refuses at once with a status, or the request will end: with kStop, kLength,
//   kCancelled or kError. An admitted request can always finish; overload makes it wait, not fail.
// - The events of a request are a pure function of the request, whatever else runs (DESIGN 3).
// - A reader that does not take its events delays nobody: its request is paused without blocks, and
//   cancelled in the end.
// - A step that fails ends the requests in it with kError, and no other.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/adapters.h"
#include "engine/request.h"
#include "engine/sched/scheduler.h"
#include "model/kv_memory.h"
#include "model/model.h"

namespace brisk {

class StepRunner;

struct EngineOptions {
  int threads = 0;                // 0: as many as the process may use
  int64_t kv_tokens = 0;          // slots of the KV pool; 0: from kv_bytes_max and the model
  int64_t kv_bytes_max = 0;       // 0: a share of the free memory
  int tokens_per_step_max = 512;  // the token budget of a step (Dynamic SplitFuse)
  int sequences_max = 256;        // sequences in one step
  int queue_max = 1024;           // requests waiting; beyond it submit refuses
  int64_t context_max = 0;        // tokens of a sequence; 0: the model's context
  KvDType kv_dtype = KvDType::kAuto;
  bool prefix_cache = true;
  BatchPolicy policy = BatchPolicy::kSplitFuse;
  // While sequences decode, prompts may stretch a step to so many percent; 0: to the whole budget.
  int stretch_percent = 300;
  // Requests whose first token is predicted to take longer are refused; 0: none is.
  double first_token_seconds_max = 0;
  // A request whose reader leaves so many events a choice lying is paused, and cancelled when that
  // lasts. 0: it may leave all of them.
  int unread_events_max = 0;
  double unread_seconds_max = 60;
  double step_seconds_max = 60;  // the watchdog reports longer steps
  // Where prefixes are kept for the next start; empty: nowhere. Only requests without a salt are.
  std::string store_directory{};
  int64_t store_bytes_max = int64_t{10} << 30;
  // For tests: what stands between the engine and its runner.
  std::function<std::unique_ptr<StepRunner>(std::unique_ptr<StepRunner>)> wrap_runner = nullptr;
  int adapters_max = 64;  // loaded at once
};

// One submitted request, shared by the engine and its reader. Any thread may call anything.
class Generation {
 public:
  virtual ~Generation() = default;

  // Takes all events there are, oldest first, without waiting.
  virtual std::vector<TokenEvent> take() = 0;
  // Waits until there are events or the request has ended, then takes them. Empty: ended and
  // everything was taken.
  virtual std::vector<TokenEvent> wait_and_take() = 0;
  // All choices have ended and every event was taken.
  virtual bool done() const = 0;
  // Not OK only when a choice ended with kError.
  virtual absl::Status status() const = 0;
  // So far; final once done().
  virtual GenerationStats stats() const = 0;
  // (prompt), when Request::prompt_logprobs asks for them; complete before the first token comes.
  virtual std::vector<PromptLogprob> prompt_logprobs() const = 0;
  // (hidden_size), when Request::embed asks for it; complete before the token comes.
  virtual std::vector<float> embedding() const { return {}; }
  // Ends one choice or all of them at the next step; their blocks are free afterwards. Idempotent.
  virtual void cancel() = 0;
  virtual void cancel_choice(int choice) = 0;
};

// Upper ends of the buckets that steps are counted in by their tokens; one more holds the rest.
inline constexpr std::array<int, 15> kStepTokenBuckets = {
    1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536};

struct EngineStats {
  int running = 0;  // sequences
  int waiting = 0;
  int paused = 0;            // their readers do not read
  double stuck_seconds = 0;  // of a step beyond step_seconds_max; 0: all is well
  int64_t kv_blocks = 0;
  int64_t kv_blocks_used = 0;    // referenced by live sequences
  int64_t kv_blocks_cached = 0;  // unreferenced, kept for prefix hits
  double kv_waste = 0;           // allocated but unused slots / allocated slots
  int64_t prompt_tokens = 0;     // the rest: totals since start
  int64_t generation_tokens = 0;
  int64_t prefix_query_tokens = 0;
  int64_t prefix_hit_tokens = 0;
  int64_t restored_tokens = 0;  // from the disk; hits follow
  int64_t preemptions = 0;
  int64_t steps = 0;
  int64_t step_tokens = 0;  // computed
  std::array<int64_t, kStepTokenBuckets.size() + 1> steps_by_tokens{};
  double run_seconds = 0;       // in the model
  double sample_seconds = 0;    // drawing tokens
  double schedule_seconds = 0;  // planning, committing, delivering
};

class Engine {
 public:
  // Errors: ResourceExhausted with figures when the KV pool cannot hold one sequence of
  // `context_max` tokens; InvalidArgument for impossible options.
  static absl::StatusOr<std::unique_ptr<Engine>> create(std::shared_ptr<const Model> model,
                                                        const EngineOptions& options);
  virtual ~Engine() = default;  // cancels what still runs

  // `on_events`, when given, is called on the engine thread whenever a reader that had taken
  // everything has something to take again; it must be quick and must not call the engine.
  // Errors: InvalidArgument (parameters, prompt longer than the context), ResourceExhausted (queue
  // full, or the first token is predicted to come too late; with retry_after_seconds), Unavailable
  // (draining).
  virtual absl::StatusOr<std::shared_ptr<Generation>> submit(
      Request request, std::function<void()> on_events = nullptr) = 0;

  // Refuses new requests from now on and returns when all running ones have ended or `seconds` have
  // passed; the rest is then cancelled.
  virtual void drain(double seconds) = 0;

  virtual EngineStats stats() const = 0;
  // What requests may name as their adapter.
  virtual AdapterRegistry& adapters() = 0;
  virtual const Model& model() const = 0;
  virtual int64_t context_max() const = 0;
};

}  // namespace brisk
