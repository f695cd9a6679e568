// Decides what every step computes. There are no phases: a sequence knows `total` tokens, has
// `computed` of them in the KV cache, and each step gives it a slice so that computed catches up.
// Long prompts are cut and short ones composed so that every step has the same number of tokens
// (Dynamic SplitFuse: DeepSpeed-FastGen, arXiv 2401.08671).
//
// Order. Running sequences are served lower priority values first, then earlier arrivals: the
// senior goes first. Waiting ones are admitted lower priority values first, tenants in turn, each
// tenant's in order of arrival (waiting_queue.h); nobody of the same priority overtakes one that
// was chosen and does not fit yet.
//
// Room. Every step first makes sure that all running sequences have blocks for all the tokens they
// know; if they have not, the most junior is preempted: it lets go of its blocks, waits, and is
// recomputed. Admission leaves room for everyone running to grow by 2^k blocks (or to its end),
// where k is how often the most preempted of them was. Hence
// - the most senior sequence always progresses, so everything that was accepted ends;
// - a sequence is preempted at most about log2(blocks of a context) times: no thrash.
//
// Pure: integers in, integers out; no clock, no thread, no randomness. One thread.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/kv/block_cache.h"
#include "engine/sched/step_plan.h"
#include "engine/sched/waiting_queue.h"

namespace brisk {

// Who shares a step. All but kSplitFuse are there to be compared with.
enum class BatchPolicy : uint8_t {
  kSplitFuse,  // decoding sequences, and beside them chunks of prompts up to the budget
  kIteration,  // sequences join and leave at every step (Orca, OSDI 2022), prompts before decoding
  kStatic,     // a batch begins when the last one has ended
};

// What a step takes, in nanoseconds. All 0: not known yet.
struct StepCosts {
  int64_t step = 0;                // whatever is in it
  int64_t token = 0;               // each token
  int64_t thousand_positions = 0;  // each thousand positions that tokens attend to
};

struct SchedulerOptions {
  BatchPolicy policy = BatchPolicy::kSplitFuse;
  int32_t tokens_per_step_max = 512;  // the budget of a step
  // Prompts may make a step that decodes take so many percent of what it takes without them, once
  // the costs are known; 0: the budget alone limits them.
  int32_t stretch_percent = 0;
  int32_t prompt_logits_per_step_max = 32;  // rows beyond those that are drawn from
  int32_t sequences_max = 256;              // running at once; the budget limits it too
  int32_t waiting_max = 1024;               // requests; beyond it submit refuses
  int32_t context_max = 0;                  // tokens of a sequence; the pool's slots limit it too
  int32_t blocks = 0;
  int32_t block_tokens = 16;
  bool prefix_cache = true;
  uint64_t hash_seed = 0;  // of the prefix index: results do not depend on it
  BlockHash hash = &hash_block;
};

struct SequenceSpec {
  std::vector<int32_t> prompt{};
  int32_t max_tokens = 16;  // to generate, per choice
  int32_t choices = 1;      // sequences that continue this prompt, which is computed once
  int32_t priority = 0;     // lower goes first
  Tenant tenant{};
  PrefixScope scope{};
  std::vector<int32_t> stop_tokens{};  // each ends a choice
  bool prompt_logits = false;          // of every token of the prompt, which is then not looked up
  // The choices are the beams of one search: they are drawn in the same steps, and `commit` may let
  // each continue what another has. They cannot be paused.
  bool beams = false;
};

enum class EndReason : uint8_t {
  kNone,    // it goes on
  kStop,    // a stop token
  kLength,  // max_tokens or the context
  kError,   // its step or its draw failed
};

struct SequenceEvent {
  SequenceId sequence;
  int32_t token = -1;  // -1: none, it failed
  EndReason end = EndReason::kNone;
};

// In place of a drawn token: the draw failed, the sequence ends with kError.
inline constexpr int32_t kNoToken = -1;

struct SchedulerStats {
  int32_t running = 0;  // sequences
  int32_t waiting = 0;  // sequences; choices whose prompt is not computed yet count with it
  int32_t paused = 0;   // sequences
  int64_t prompt_tokens_left = 0;  // of running sequences, beyond the one that decodes
  bool lacks_room = false;         // the first that waits found no room
  int32_t blocks = 0;
  int32_t blocks_used = 0;
  int32_t blocks_cached = 0;
  double waste = 0;                 // allocated but unused slots / allocated slots
  int64_t prefix_query_tokens = 0;  // the rest: totals since construction
  int64_t prefix_hit_tokens = 0;
  int64_t preemptions = 0;
  int64_t steps = 0;
};

class Scheduler {
 public:
  // REQUIRES: every number of options is positive; hash_seed and stretch_percent may be 0, and the
  // latter is above 100 otherwise.
  explicit Scheduler(const SchedulerOptions& options);
  ~Scheduler();

  // Queues a request. Its choices are the sequences id, id + 1, ... in order.
  // Errors: ResourceExhausted when waiting_max are waiting; InvalidArgument for an empty prompt,
  // one that leaves no room in the context, max_tokens or choices below 1, or beams that do not fit
  // at once.
  absl::StatusOr<SequenceId> submit(SequenceSpec spec);

  // Whether so many beams of so many tokens can run at once. Any thread.
  absl::Status check_beams_fit(int32_t beams, int64_t tokens) const;

  // Ends a sequence: from now on no event names it. Its blocks are free at once, or with the end of
  // the step when one is open. False when there is none such.
  bool cancel(SequenceId id);

  // Lets go of a sequence's blocks and leaves it out until it is resumed. False when it cannot be
  // paused: it has ended, is paused, or choices of its prompt have yet to begin.
  // REQUIRES: no step is open.
  bool pause(SequenceId id);
  void resume(SequenceId id);  // nothing happens unless it is paused

  // The blocks that hold the beginning of `tokens`, as a prompt would find them: valid until the
  // next call that plans or restores.
  std::span<const BlockId> find_cached(std::span<const int32_t> tokens, const PrefixScope& scope);

  // Makes room, after those that are cached, for up to `count` more blocks of `tokens`, whose KV
  // the caller writes into the blocks answered before the next plan. Fewer, or none, when there is
  // no room. REQUIRES: no step is open; `tokens` has as many blocks.
  std::vector<BlockId> restore(std::span<const int32_t> tokens, const PrefixScope& scope,
                               int64_t count);

  void set_costs(const StepCosts& costs) { costs_ = costs; }

  // What to compute next; empty only when there is nothing to do. Opens a step unless empty.
  // REQUIRES: no step is open.
  const StepPlan& plan();

  // Closes the step with one token per sample of the plan (or kNoToken). The events, in the order
  // of the samples, are valid until the next call of commit or fail_step. REQUIRES: a step is open.
  //
  // With `parents`, sample i continues what the sequence of sample parents[i] has instead of its
  // own (parents[i] == i). REQUIRES: both are beams of one search, and not those that begin.
  std::span<const SequenceEvent> commit(std::span<const int32_t> tokens,
                                        std::span<const int32_t> parents = {});

  // Closes the step when it could not be computed: its sequences end with kError, all others go on.
  // REQUIRES: a step is open.
  std::span<const SequenceEvent> fail_step();

  bool has_work() const { return !running_.empty() || !waiting_.empty(); }
  bool step_is_open() const { return step_open_; }
  SchedulerStats stats() const;

  // Tokens a sequence may have at most, prompt included.
  int64_t context_max() const { return context_max_; }

  // Recounts everything; an error says which count is wrong. For tests.
  absl::Status audit() const;

 private:
  // What is left of the limits of the open step.
  struct Budget {
    int64_t tokens = 0;
    int64_t prompt_logits = 0;
    int64_t prompt_nanoseconds = 0;
  };

  void begin_plan();
  void slice_decoding();
  void slice_prompts();
  void admit_and_slice();
  void limit_prompts();
  int64_t prompt_tokens_now(Sequence* const& sequence) const;
  bool can_slice_prompts() const { return budget_.tokens > 0 && budget_.prompt_nanoseconds > 0; }

  int64_t slots(const Sequence& sequence) const;
  int64_t missing_blocks(const Sequence& sequence) const;
  int64_t growth_blocks(const Sequence& sequence, int64_t growth_max) const;
  void enqueue(Sequence* sequence);
  void preempt_until_all_fit();
  void preempt(Sequence* sequence);
  Sequence* admit_next();
  void find_prefix_of(const Sequence& sequence);
  void admit(Sequence* sequence);
  bool has_slots_for(std::span<Sequence* const> sequences) const;
  bool has_room_for(std::span<Sequence* const> sequences);
  void add_slice(Sequence* sequence, int64_t count);
  void add_samples(Sequence* sequence);

  void reorder(std::span<const int32_t> parents);
  void accept(Sequence* sequence, int32_t token);
  void fork(Sequence* leader, Sequence* choice);
  EndReason end_reason(const Sequence& sequence, int32_t token) const;
  void close_step();
  void drop_cancelled(Sequence* sequence);
  void leave(Sequence* sequence);
  void end(Sequence* sequence);

  // Constant after construction.
  const SchedulerOptions options_;
  const int64_t context_max_;
  const size_t running_max_;

  BlockCache cache_;
  absl::flat_hash_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;  // senior first
  WaitingQueue waiting_;
  int32_t paused_ = 0;
  int64_t next_id_ = 0;
  StepCosts costs_;
  Sequence* head_ = nullptr;      // of the queue: chosen, and waits for room
  bool head_is_blocked_ = false;  // it found none, and none was made since

  // The open step.
  StepPlan plan_;
  Budget budget_;
  bool step_open_ = false;
  std::vector<Sequence*> sliced_;      // parallel to plan_.slices
  std::vector<Sequence*> sampled_;     // parallel to plan_.samples
  std::vector<SequenceId> cancelled_;  // since it was opened
  std::vector<Sequence*> ended_;
  std::vector<SequenceEvent> events_;
  std::vector<BlockId> hits_;  // scratch of find_prefix_of

  SchedulerStats totals_;  // only the totals
};

}  // namespace brisk
