#include "engine/sched/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "engine/sched/sequence.h"

namespace brisk {

namespace {

// A sequence never needs more blocks than there are, so that alone it can always finish.
int64_t usable_context(const SchedulerOptions& options) {
  return std::min<int64_t>(options.context_max, int64_t{options.blocks} * options.block_tokens);
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options),
      context_max_(usable_context(options)),
      // Every running sequence must get at least one token a step.
      running_max_(
          static_cast<size_t>(std::min(options.sequences_max, options.tokens_per_step_max))),
      cache_({.blocks = options.blocks,
              .block_tokens = options.block_tokens,
              .prefix_cache = options.prefix_cache,
              .hash_seed = options.hash_seed,
              .hash = options.hash}) {
  BRISK_CHECK(options.tokens_per_step_max > 0);
  BRISK_CHECK(options.sequences_max > 0);
  BRISK_CHECK(options.waiting_max > 0);
  BRISK_CHECK(options.context_max > 0);
  BRISK_CHECK(options.prompt_logits_per_step_max > 0);
  BRISK_CHECK(options.stretch_percent == 0 || options.stretch_percent > 100);
}

Scheduler::~Scheduler() = default;

absl::StatusOr<SequenceId> Scheduler::submit(SequenceSpec spec) {
  const int64_t prompt_tokens = static_cast<int64_t>(spec.prompt.size());
  if (prompt_tokens == 0) return invalid_input("the prompt is empty");
  if (prompt_tokens >= context_max_) {
    return invalid_input("the prompt has {} tokens; the context holds {} with the answer",
                         prompt_tokens, context_max_);
  }
  if (spec.max_tokens < 1) return invalid_input("max_tokens must be at least 1");
  if (spec.choices < 1) return invalid_input("n must be at least 1");
  if (spec.tenant.weight < 1 || spec.tenant.weight > kTenantWeightMax) {
    return invalid_input("a tenant's weight must be 1 to {}", kTenantWeightMax);
  }
  const int64_t tokens_max = std::min(prompt_tokens + spec.max_tokens, context_max_);
  if (spec.beams) BRISK_RETURN_IF_ERROR(check_beams_fit(spec.choices, tokens_max));
  if (waiting_.size() >= static_cast<size_t>(options_.waiting_max)) {
    return exhausted("{} requests are waiting already; try again later", waiting_.size());
  }

  const auto beams = spec.beams ? std::make_shared<BeamGroup>() : nullptr;
  Sequence* leader = nullptr;
  for (int32_t choice = 0; choice < spec.choices; ++choice) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = {next_id_++};
    sequence->priority = spec.priority;
    sequence->tenant = spec.tenant;
    sequence->prompt_tokens = static_cast<int32_t>(prompt_tokens);
    sequence->tokens_max = tokens_max;
    sequence->scope = spec.scope;
    sequence->stop_tokens = spec.stop_tokens;
    sequence->beams = beams;
    if (leader == nullptr) {
      leader = sequence.get();
      leader->prompt_logits = spec.prompt_logits;
    } else {
      sequence->leader = leader;
      leader->choices.push_back(sequence.get());
    }
    waiting_.open_account(spec.tenant);
    sequences_.emplace(sequence->id, std::move(sequence));
  }
  leader->tokens = std::move(spec.prompt);
  if (beams != nullptr) beams->members.push_back(leader);
  enqueue(leader);
  return leader->id;
}

// Beams run all or none, and have the worst case for themselves: no block shared, and for each one
// more block to copy a shared tail into.
absl::Status Scheduler::check_beams_fit(int32_t beams, int64_t tokens) const {
  if (static_cast<size_t>(beams) > running_max_) {
    return invalid_input("a beam search of {} beams; at most {} sequences run at once", beams,
                         running_max_);
  }
  const int64_t blocks = beams * (cache_.blocks_for(tokens) + 1);
  if (blocks <= options_.blocks) return absl::OkStatus();
  return invalid_input(
      "a beam search of {} beams over {} tokens may need {} KV blocks; there are {}: lower "
      "max_tokens or the number of beams",
      beams, tokens, blocks, options_.blocks);
}

void Scheduler::enqueue(Sequence* sequence) {
  sequence->state = Sequence::State::kWaiting;
  waiting_.push(sequence);
  if (head_ == nullptr || !WaitingQueue::outranks(*sequence, *head_)) return;
  head_ = nullptr;
  head_is_blocked_ = false;
}

bool Scheduler::pause(SequenceId id) {
  BRISK_CHECK(!step_open_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || !found->second->choices.empty()) return false;
  Sequence* sequence = found->second.get();
  if (sequence->beams != nullptr) return false;
  switch (sequence->state) {
    case Sequence::State::kPending:
    case Sequence::State::kPaused:
      return false;
    case Sequence::State::kWaiting:
    case Sequence::State::kRunning:
      break;
  }
  leave(sequence);
  sequence->computed = 0;
  sequence->state = Sequence::State::kPaused;
  ++paused_;
  return true;
}

void Scheduler::resume(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->state != Sequence::State::kPaused) return;
  --paused_;
  enqueue(found->second.get());
}

std::span<const BlockId> Scheduler::find_cached(std::span<const int32_t> tokens,
                                                const PrefixScope& scope) {
  cache_.find_prefix(tokens, scope, &hits_);
  return hits_;
}

std::vector<BlockId> Scheduler::restore(std::span<const int32_t> tokens, const PrefixScope& scope,
                                        int64_t count) {
  BRISK_CHECK(!step_open_);
  find_cached(tokens, scope);
  BlockTable table;
  cache_.adopt(hits_, &table);
  const int64_t known = std::ssize(table.blocks);
  int64_t blocks = known;
  while (blocks < known + count && cache_.available_blocks() > 0) {
    cache_.extend(&table, ++blocks * options_.block_tokens);
  }
  cache_.publish(tokens.first(static_cast<size_t>(blocks * options_.block_tokens)), scope, &table);
  std::vector<BlockId> restored(table.blocks.begin() + known, table.blocks.end());
  cache_.release(&table);
  return restored;
}

// Takes a sequence out of whatever it is in, and its blocks from it.
void Scheduler::leave(Sequence* sequence) {
  cache_.release(&sequence->table);
  switch (sequence->state) {
    case Sequence::State::kPending:
      break;
    case Sequence::State::kWaiting:
      waiting_.erase(sequence);
      if (head_ == sequence) head_ = nullptr;
      break;
    case Sequence::State::kRunning:
      std::erase(running_, sequence);
      break;
    case Sequence::State::kPaused:
      --paused_;
      break;
  }
  head_is_blocked_ = false;
}

bool Scheduler::cancel(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->cancelled) return false;
  found->second->cancelled = true;
  head_is_blocked_ = false;
  if (step_open_) {
    cancelled_.push_back(id);
  } else {
    drop_cancelled(found->second.get());
  }
  return true;
}

// Ends a cancelled sequence unless others need it still, and with it a cancelled leader that only
// it needed.
void Scheduler::drop_cancelled(Sequence* sequence) {
  if (!sequence->choices.empty()) return;
  Sequence* leader = sequence->leader;
  if (leader != nullptr) std::erase(leader->choices, sequence);
  end(sequence);
  if (leader != nullptr && leader->cancelled) drop_cancelled(leader);
}

void Scheduler::end(Sequence* sequence) {
  leave(sequence);
  if (sequence->beams != nullptr) std::erase(sequence->beams->members, sequence);
  waiting_.close_account(sequence->tenant);
  sequences_.erase(sequence->id);
}

std::span<const SequenceEvent> Scheduler::commit(std::span<const int32_t> tokens,
                                                 std::span<const int32_t> parents) {
  BRISK_CHECK(step_open_);
  BRISK_CHECK(tokens.size() == plan_.samples.size());
  events_.clear();
  for (size_t i = 0; i < sliced_.size(); ++i) {
    Sequence& sequence = *sliced_[i];
    sequence.computed += static_cast<int32_t>(plan_.slices[i].tokens.size());
    if (sequence.computed >= sequence.prompt_tokens) sequence.prompt_logits = false;
    const auto computed = std::span(sequence.tokens).first(static_cast<size_t>(sequence.computed));
    if (cache_.publish(computed, sequence.scope, &sequence.table)) head_is_blocked_ = false;
  }
  reorder(parents);
  for (size_t i = 0; i < sampled_.size(); ++i) accept(sampled_[i], tokens[i]);
  close_step();
  return events_;
}

std::span<const SequenceEvent> Scheduler::fail_step() {
  BRISK_CHECK(step_open_);
  events_.clear();
  const auto fail = [this](Sequence* sequence) {
    if (std::ranges::find(ended_, sequence) != ended_.end()) return;
    ended_.push_back(sequence);
    if (!sequence->cancelled)
      events_.push_back({.sequence = sequence->id, .end = EndReason::kError});
  };
  for (Sequence* sequence : sliced_) {
    for (Sequence* one : together_with(sequence)) fail(one);
    for (Sequence* choice : sequence->choices) fail(choice);
  }
  close_step();
  return events_;
}

// What a beam continues is shared until it grows. A parent may itself be replaced: first all take.
void Scheduler::reorder(std::span<const int32_t> parents) {
  if (parents.empty()) return;
  BRISK_CHECK(parents.size() == sampled_.size());
  struct Inheritance {
    Sequence* heir;
    std::vector<int32_t> tokens;
    BlockTable table;
  };
  std::vector<Inheritance> inherited;
  for (size_t i = 0; i < sampled_.size(); ++i) {
    Sequence* const heir = sampled_[i];
    const Sequence& parent = *sampled_[static_cast<size_t>(parents[i])];
    if (heir == &parent) continue;
    BRISK_CHECK(heir->beams != nullptr && heir->beams == parent.beams);
    BRISK_CHECK(heir->leader == nullptr && parent.leader == nullptr);
    BRISK_CHECK(heir->computed == parent.computed);
    Inheritance& inheritance = inherited.emplace_back(heir, parent.tokens);
    cache_.fork(parent.table, &inheritance.table);
  }
  for (Inheritance& inheritance : inherited) {
    cache_.release(&inheritance.heir->table);
    inheritance.heir->tokens = std::move(inheritance.tokens);
    inheritance.heir->table = std::move(inheritance.table);
  }
  if (!inherited.empty()) head_is_blocked_ = false;
}

// Appends what was drawn for a sequence, which begins with it if it was pending.
void Scheduler::accept(Sequence* sequence, int32_t token) {
  Sequence* leader = std::exchange(sequence->leader, nullptr);
  if (leader != nullptr) {
    std::erase(leader->choices, sequence);
    if (leader->cancelled && leader->choices.empty()) ended_.push_back(leader);
  }
  if (sequence->cancelled) return;

  if (leader != nullptr) fork(leader, sequence);
  sequence->tokens.push_back(token);
  waiting_.charge(sequence->tenant, kGeneratedTokenCost);
  const EndReason reason = end_reason(*sequence, token);
  if (reason != EndReason::kNone) ended_.push_back(sequence);
  events_.push_back({.sequence = sequence->id, .token = token, .end = reason});
}

// Lets a choice go on from its leader's prompt.
void Scheduler::fork(Sequence* leader, Sequence* choice) {
  choice->tokens.assign(leader->tokens.begin(), leader->tokens.begin() + leader->prompt_tokens);
  choice->was_admitted = true;
  if (choice->beams != nullptr) {
    choice->beams->members.push_back(choice);
  } else if (running_.size() >= running_max_) {  // a cancelled leader may count here
    enqueue(choice);
    return;
  }
  cache_.fork(leader->table, &choice->table);
  choice->computed = leader->computed;
  choice->state = Sequence::State::kRunning;
  insert_senior_first(&running_, choice);
}

EndReason Scheduler::end_reason(const Sequence& sequence, int32_t token) const {
  if (token == kNoToken) return EndReason::kError;
  if (std::ranges::find(sequence.stop_tokens, token) != sequence.stop_tokens.end()) {
    return EndReason::kStop;
  }
  return sequence.total() >= sequence.tokens_max ? EndReason::kLength : EndReason::kNone;
}

void Scheduler::close_step() {
  for (Sequence* sequence : ended_) end(sequence);
  ended_.clear();
  for (const SequenceId id : cancelled_) {
    const auto found = sequences_.find(id);
    if (found != sequences_.end()) drop_cancelled(found->second.get());
  }
  cancelled_.clear();
  ++totals_.steps;
  step_open_ = false;
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = totals_;
  stats.running = static_cast<int32_t>(running_.size());
  stats.waiting = static_cast<int32_t>(waiting_.size());
  stats.paused = paused_;
  stats.blocks = cache_.pool().blocks();
  stats.blocks_used = cache_.pool().used_blocks();
  stats.blocks_cached = cache_.pool().cached_blocks();
  stats.lacks_room = head_is_blocked_;
  double unused_slots = 0;
  for (const Sequence* sequence : running_) {
    stats.prompt_tokens_left += sequence->remaining() - 1;
    if (sequence->table.blocks.empty()) continue;
    const auto slots = static_cast<double>(sequence->table.blocks.size()) * options_.block_tokens;
    unused_slots +=
        (slots - sequence->computed) / cache_.pool().refs(sequence->table.blocks.back());
  }
  const double slots = static_cast<double>(stats.blocks_used) * options_.block_tokens;
  stats.waste = slots == 0 ? 0 : unused_slots / slots;
  return stats;
}

absl::Status Scheduler::audit() const {
  std::vector<const BlockTable*> tables;
  for (const auto& [id, sequence] : sequences_) tables.push_back(&sequence->table);
  if (!step_open_) {
    for (const Sequence* sequence : running_) {
      const auto blocks = static_cast<int64_t>(sequence->table.blocks.size());
      if (blocks != cache_.blocks_for(sequence->computed)) {
        return absl::InternalError(fmt::format("sequence {} has {} blocks for {} tokens",
                                               sequence->id.value, blocks, sequence->computed));
      }
    }
  }
  return cache_.audit(tables);
}

}  // namespace brisk
