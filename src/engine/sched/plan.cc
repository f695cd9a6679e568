// The first half of a step: who gets which slice.
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <cstdint>
#include <ranges>

#include "base/check.h"
#include "engine/sched/scheduler.h"
#include "engine/sched/sequence.h"

namespace brisk {
namespace {

bool is_decoding(Sequence* const& sequence) {
  return !sequence->prompt_logits && all_wait_for_a_token(together_with(sequence));
}

}  // namespace

const StepPlan& Scheduler::plan() {
  BRISK_CHECK(!step_open_);
  begin_plan();
  const bool batch_ended = running_.empty();
  preempt_until_all_fit();
  switch (options_.policy) {
    case BatchPolicy::kSplitFuse:
      slice_decoding();
      limit_prompts();
      slice_prompts();
      admit_and_slice();
      break;
    case BatchPolicy::kIteration:
      slice_prompts();
      admit_and_slice();
      if (plan_.empty()) slice_decoding();
      break;
    case BatchPolicy::kStatic:
      while (batch_ended && admit_next() != nullptr) {
      }
      slice_prompts();
      if (plan_.empty()) slice_decoding();
      break;
  }
  step_open_ = !plan_.empty();
  return plan_;
}

void Scheduler::begin_plan() {
  plan_.copies.clear();
  plan_.slices.clear();
  plan_.samples.clear();
  plan_.admitted.clear();
  plan_.preempted.clear();
  plan_.tokens = 0;
  plan_.logits_rows = 0;
  plan_.positions = 0;
  sliced_.clear();
  sampled_.clear();
  budget_ = {.tokens = options_.tokens_per_step_max,
             .prompt_logits = options_.prompt_logits_per_step_max,
             .prompt_nanoseconds = INT64_MAX};
}

void Scheduler::slice_decoding() {
  for (Sequence* sequence : running_) {
    if (is_decoding(sequence)) add_slice(sequence, 1);
  }
}

void Scheduler::slice_prompts() {
  for (Sequence* sequence : running_) {
    if (!can_slice_prompts()) return;
    if (!is_decoding(sequence)) add_slice(sequence, prompt_tokens_now(sequence));
  }
}

void Scheduler::admit_and_slice() {
  while (can_slice_prompts()) {
    Sequence* sequence = admit_next();
    if (sequence == nullptr) return;
    const std::span<Sequence* const> together = together_with(sequence);
    // Beams whose prefixes were all found are drawn together, or in the next step.
    if (all_wait_for_a_token(together) && budget_.tokens < std::ssize(together)) continue;
    for (Sequence* one : together) add_slice(one, prompt_tokens_now(one));
  }
}

// The time that prompts may add to what the sequences that decode take.
void Scheduler::limit_prompts() {
  if (plan_.empty() || options_.stretch_percent == 0 || costs_.token == 0) return;
  const int64_t decoding = costs_.step + costs_.token * plan_.tokens +
                           costs_.thousand_positions * plan_.positions / 1000;
  budget_.prompt_nanoseconds =
      std::max<int64_t>(decoding / 100 * (options_.stretch_percent - 100), 1);
}

// As much of a prompt as the budgets allow, but a block of it at least: prompts must get on.
int64_t Scheduler::prompt_tokens_now(Sequence* const& one) const {
  const Sequence& sequence = *one;
  int64_t count = std::min(sequence.remaining(), budget_.tokens);
  if (sequence.beams != nullptr && sequence.beams->members.size() > 1 &&
      !all_wait_for_a_token(together_with(one))) {
    count = std::min(count, sequence.remaining() - 1);  // the others have to catch up
  }
  if (sequence.prompt_logits) count = std::min(count, budget_.prompt_logits);
  if (budget_.prompt_nanoseconds == INT64_MAX) return count;
  const int64_t token = costs_.token + costs_.thousand_positions * sequence.computed / 1000;
  const int64_t affordable =
      std::max<int64_t>(budget_.prompt_nanoseconds / token, options_.block_tokens);
  return std::min(count, affordable);
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
  // Beams may come to share their tails in any step.
  const int64_t tails = std::ssize(sequence.choices) + (sequence.beams != nullptr ? 1 : 0);
  return slots(sequence) * std::min(to_the_end, growth_max) + tails;
}

void Scheduler::preempt_until_all_fit() {
  int64_t missing = 0;
  for (const Sequence* sequence : running_) missing += missing_blocks(*sequence);
  while (missing > cache_.available_blocks() &&
         running_.size() > together_with(running_.back()).size()) {
    preempt(running_.back());
    missing = 0;  // others may own their tails now
    for (const Sequence* sequence : running_) missing += missing_blocks(*sequence);
  }
  BRISK_CHECK(missing <= cache_.available_blocks());
}

void Scheduler::preempt(Sequence* sequence) {
  for (Sequence* one : together_with(sequence) | std::views::reverse) {  // junior first
    std::erase(running_, one);
    cache_.release(&one->table);
    one->computed = 0;
    ++one->preemptions;
    ++totals_.preemptions;
    plan_.preempted.push_back(one->id);
    enqueue(one);
  }
  head_is_blocked_ = false;
}

// Moves the first of the waiting sequences to the running ones, with all that go together with it,
// or answers null when it must wait.
Sequence* Scheduler::admit_next() {
  if (waiting_.empty() || head_is_blocked_) return nullptr;
  if (head_ == nullptr) head_ = waiting_.next();
  Sequence* sequence = head_;
  const std::span<Sequence* const> together = together_with(sequence);
  // A sequence alone always fits, a group of choices at least one after the other.
  if (!running_.empty() && !(has_slots_for(together) && has_room_for(together))) {
    head_is_blocked_ = true;
    return nullptr;
  }
  head_ = nullptr;
  for (Sequence* one : together) admit(one);
  return sequence;
}

void Scheduler::admit(Sequence* sequence) {
  find_prefix_of(*sequence);
  waiting_.erase(sequence);
  sequence->state = Sequence::State::kRunning;
  insert_senior_first(&running_, sequence);
  cache_.adopt(hits_, &sequence->table);
  sequence->computed = static_cast<int32_t>(hits_.size()) * options_.block_tokens;
  const SequenceId named = sequence->cancelled ? sequence->choices.front()->id : sequence->id;
  plan_.admitted.push_back(
      {.sequence = named, .cached_tokens = sequence->computed, .resumed = sequence->was_admitted});
  if (!sequence->was_admitted) {
    waiting_.charge(sequence->tenant, kPromptTokenCost * sequence->remaining());
    totals_.prefix_query_tokens += sequence->total();
    totals_.prefix_hit_tokens += sequence->computed;
  }
  sequence->was_admitted = true;
}

// Into hits_. The last token is computed even on a full hit: its logits are needed.
void Scheduler::find_prefix_of(const Sequence& sequence) {
  hits_.clear();
  if (sequence.prompt_logits) return;
  cache_.find_prefix(std::span(sequence.tokens).first(sequence.tokens.size() - 1), sequence.scope,
                     &hits_);
}

bool Scheduler::has_slots_for(std::span<Sequence* const> sequences) const {
  int64_t taken = 0;
  for (const Sequence* sequence : sequences) taken += slots(*sequence);
  for (const Sequence* other : running_) taken += slots(*other);
  return taken <= static_cast<int64_t>(running_max_);
}

// Blocks that the sequences would find need no room of their own when they are in use, or when one
// of the sequences before found them too.
bool Scheduler::has_room_for(std::span<Sequence* const> sequences) {
  int32_t preemptions = 0;
  for (const Sequence* sequence : sequences)
    preemptions = std::max(preemptions, sequence->preemptions);
  for (const Sequence* other : running_) preemptions = std::max(preemptions, other->preemptions);
  const int64_t growth_max = int64_t{1} << std::min(preemptions, 30);

  int64_t needed = 0;
  absl::flat_hash_set<int32_t> found;
  for (const Sequence* sequence : sequences) {
    find_prefix_of(*sequence);
    const auto in_use = std::ranges::count_if(hits_, [&](BlockId block) {
      return cache_.pool().refs(block) > 0 ||
             (sequences.size() > 1 && !found.insert(block.value).second);
    });
    needed += missing_blocks(*sequence) - in_use + growth_blocks(*sequence, growth_max);
  }
  for (const Sequence* other : running_) {
    needed += missing_blocks(*other) + growth_blocks(*other, growth_max);
  }
  return needed <= cache_.available_blocks();
}

// Gives a sequence the next `count` of the tokens it has yet to compute; none where the logits of
// its prompt must wait. REQUIRES: the budget and the pool have room for them.
void Scheduler::add_slice(Sequence* sequence, int64_t count) {
  if (count == 0) return;
  if (sequence->computed % options_.block_tokens != 0) {
    if (const auto copy = cache_.own_tail(&sequence->table)) plan_.copies.push_back(*copy);
  }
  cache_.extend(&sequence->table, sequence->computed + count);
  const bool reaches_total = count == sequence->remaining();
  const int64_t logits = sequence->prompt_logits ? count : reaches_total ? 1 : 0;
  const int64_t positions = count * sequence->computed + count * (count + 1) / 2;
  plan_.slices.push_back(
      {.sequence = sequence->id,
       .first = sequence->computed,
       .tokens = std::span(sequence->tokens)
                     .subspan(static_cast<size_t>(sequence->computed), static_cast<size_t>(count)),
       .blocks = sequence->table.blocks,
       .logits_from = static_cast<int32_t>(count - logits),
       .adapter = sequence->scope.adapter});
  sliced_.push_back(sequence);
  plan_.tokens += static_cast<int32_t>(count);
  plan_.positions += positions;
  plan_.logits_rows += static_cast<int32_t>(logits);
  budget_.tokens -= count;
  if (sequence->prompt_logits) budget_.prompt_logits -= count;
  if (budget_.prompt_nanoseconds != INT64_MAX) {
    budget_.prompt_nanoseconds -=
        costs_.token * count + costs_.thousand_positions * positions / 1000;
  }
  if (reaches_total) add_samples(sequence);
}

// The last row's token, and the first ones of the choices that begin there.
void Scheduler::add_samples(Sequence* sequence) {
  const auto add = [&](Sequence* drawn) {
    plan_.samples.push_back({.sequence = drawn->id,
                             .logits_row = plan_.logits_rows - 1,
                             .position = static_cast<int32_t>(sequence->total())});
    sampled_.push_back(drawn);
  };
  if (!sequence->cancelled) add(sequence);
  for (Sequence* choice : sequence->choices) add(choice);
}

}  // namespace brisk
