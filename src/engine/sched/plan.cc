// The first half of a step: who gets which slice.
#include <algorithm>

#include "base/check.h"
#include "engine/sched/scheduler.h"
#include "engine/sched/sequence.h"

namespace brisk {

const StepPlan& Scheduler::plan() {
  BRISK_CHECK(!step_open_);
  plan_.copies.clear();
  plan_.slices.clear();
  plan_.samples.clear();
  plan_.admitted.clear();
  plan_.preempted.clear();
  plan_.tokens = 0;
  plan_.logits_rows = 0;
  sliced_.clear();
  sampled_.clear();

  preempt_until_all_fit();
  for (Sequence* sequence : running_) {
    if (sequence->remaining() == 1) add_slice(sequence);
  }
  for (Sequence* sequence : running_) {
    if (sequence->remaining() > 1 && budget_left() > 0) add_slice(sequence);
  }
  while (budget_left() > 0) {
    Sequence* sequence = admit_next();
    if (sequence == nullptr) break;
    add_slice(sequence);
  }
  step_open_ = !plan_.empty();
  return plan_;
}

// Sequences that a running or waiting one stands for.
int64_t Scheduler::slots(const Sequence& sequence) const {
  return static_cast<int64_t>(sequence.choices.size()) + (sequence.cancelled ? 0 : 1);
}

// Blocks that a sequence has yet to be given for the tokens it knows.
int64_t Scheduler::missing_blocks(const Sequence& sequence) const {
  const bool copies_tail =
      sequence.computed % options_.block_tokens != 0 && cache_.tail_is_shared(sequence.table);
  return cache_.blocks_for(sequence.total()) - static_cast<int64_t>(sequence.table.blocks.size()) +
         (copies_tail ? 1 : 0);
}

// Blocks for the tokens a sequence does not know yet, at most `growth_max` for each choice; choices
// that have yet to fork will also copy the tail of the prompt.
int64_t Scheduler::growth_blocks(const Sequence& sequence, int64_t growth_max) const {
  const int64_t to_the_end =
      cache_.blocks_for(sequence.tokens_max) - cache_.blocks_for(sequence.total());
  return slots(sequence) * std::min(to_the_end, growth_max) +
         static_cast<int64_t>(sequence.choices.size());
}

void Scheduler::preempt_until_all_fit() {
  int64_t missing = 0;
  for (const Sequence* sequence : running_) missing += missing_blocks(*sequence);
  while (missing > cache_.available_blocks() && running_.size() > 1) {
    preempt(running_.back());
    missing = 0;  // others may own their tails now
    for (const Sequence* sequence : running_) missing += missing_blocks(*sequence);
  }
  BRISK_CHECK(missing <= cache_.available_blocks());
}

void Scheduler::preempt(Sequence* sequence) {
  std::erase(running_, sequence);
  cache_.release(&sequence->table);
  sequence->computed = 0;
  ++sequence->preemptions;
  ++totals_.preemptions;
  plan_.preempted.push_back(sequence->id);
  enqueue(sequence);
  head_is_blocked_ = false;
}

// Moves the most senior waiting sequence to the running ones, or answers null when it has to wait.
Scheduler::Sequence* Scheduler::admit_next() {
  if (waiting_.empty() || head_is_blocked_) return nullptr;
  Sequence* sequence = waiting_.back();
  // The last token is computed even on a full hit: its logits are needed.
  cache_.find_prefix(std::span(sequence->tokens).first(sequence->tokens.size() - 1),
                     sequence->scope, &hits_);
  // A sequence alone always fits, a group of choices at least one after the other.
  if (!running_.empty() && !(has_slots_for(*sequence) && has_room_for(*sequence))) {
    head_is_blocked_ = true;
    return nullptr;
  }

  waiting_.pop_back();
  sequence->state = Sequence::State::kRunning;
  insert_senior_first(&running_, sequence);
  cache_.adopt(hits_, &sequence->table);
  sequence->computed = static_cast<int32_t>(hits_.size()) * options_.block_tokens;
  const SequenceId named = sequence->cancelled ? sequence->choices.front()->id : sequence->id;
  plan_.admitted.push_back(
      {.sequence = named, .cached_tokens = sequence->computed, .resumed = sequence->was_admitted});
  if (!sequence->was_admitted) {
    totals_.prefix_query_tokens += sequence->total();
    totals_.prefix_hit_tokens += sequence->computed;
  }
  sequence->was_admitted = true;
  return sequence;
}

bool Scheduler::has_slots_for(const Sequence& sequence) const {
  int64_t taken = slots(sequence);
  for (const Sequence* other : running_) taken += slots(*other);
  return taken <= static_cast<int64_t>(running_max_);
}

// REQUIRES: hits_ are the sequence's.
bool Scheduler::has_room_for(const Sequence& sequence) const {
  int32_t preemptions = sequence.preemptions;
  for (const Sequence* other : running_) preemptions = std::max(preemptions, other->preemptions);
  const int64_t growth_max = int64_t{1} << std::min(preemptions, 30);

  const auto in_use =
      std::ranges::count_if(hits_, [this](BlockId block) { return cache_.pool().refs(block) > 0; });
  int64_t needed = missing_blocks(sequence) - in_use + growth_blocks(sequence, growth_max);
  for (const Sequence* other : running_) {
    needed += missing_blocks(*other) + growth_blocks(*other, growth_max);
  }
  return needed <= cache_.available_blocks();
}

// Gives a sequence as much of what it has yet to compute as the budget allows.
// REQUIRES: budget_left() > 0; the pool has the sequence's missing blocks.
void Scheduler::add_slice(Sequence* sequence) {
  const int64_t count = std::min<int64_t>(sequence->remaining(), budget_left());
  if (sequence->computed % options_.block_tokens != 0) {
    if (const auto copy = cache_.own_tail(&sequence->table)) plan_.copies.push_back(*copy);
  }
  cache_.extend(&sequence->table, sequence->computed + count);
  const bool reaches_total = count == sequence->remaining();
  plan_.slices.push_back(
      {.sequence = sequence->id,
       .first = sequence->computed,
       .tokens = std::span(sequence->tokens)
                     .subspan(static_cast<size_t>(sequence->computed), static_cast<size_t>(count)),
       .blocks = sequence->table.blocks,
       .logits_from = static_cast<int32_t>(count - (reaches_total ? 1 : 0)),
       .adapter = sequence->scope.adapter});
  sliced_.push_back(sequence);
  plan_.tokens += static_cast<int32_t>(count);
  if (reaches_total) add_samples(sequence);
}

// The last row's token, and the first ones of the choices that begin there.
void Scheduler::add_samples(Sequence* sequence) {
  const auto add = [&](Sequence* drawn) {
    plan_.samples.push_back({.sequence = drawn->id,
                             .logits_row = plan_.logits_rows,
                             .position = static_cast<int32_t>(sequence->total())});
    sampled_.push_back(drawn);
  };
  if (!sequence->cancelled) add(sequence);
  for (Sequence* choice : sequence->choices) add(choice);
  ++plan_.logits_rows;
}

}  // namespace brisk
