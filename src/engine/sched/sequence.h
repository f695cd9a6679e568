// A sequence as the scheduler keeps it. Private to sched/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/sched/scheduler.h"

namespace brisk {

struct Sequence;

// The choices of a beam search that have begun. They run or wait together, and none gets ahead of
// the others: all of them are drawn in one step.
struct BeamGroup {
  std::vector<Sequence*> members;
};

struct Sequence {
  enum class State : uint8_t {
    kPending,  // its leader computes the prompt for it; in no queue
    kWaiting,
    kRunning,
    kPaused,  // nobody takes its tokens: without blocks, in no queue
  };

  SequenceId id;
  int32_t priority = 0;
  Tenant tenant;
  int32_t prompt_tokens = 0;
  int64_t tokens_max = 0;  // it ends when it has so many
  PrefixScope scope;
  std::vector<int32_t> stop_tokens;

  State state = State::kPending;
  std::vector<int32_t> tokens;  // all it knows; empty while pending
  BlockTable table;             // covers exactly the computed ones between steps
  int32_t computed = 0;
  int32_t preemptions = 0;
  bool prompt_logits = false;  // still wanted
  bool was_admitted = false;
  bool cancelled = false;  // a cancelled leader goes on until its choices have forked

  Sequence* leader = nullptr;        // only while pending
  std::vector<Sequence*> choices;    // pending ones that this one leads
  std::shared_ptr<BeamGroup> beams;  // null: it goes its own way

  int64_t total() const { return static_cast<int64_t>(tokens.size()); }
  int64_t remaining() const { return total() - computed; }
};

// The sequences that run or wait together with one, itself among them. A view into the group or of
// the pointer.
inline std::span<Sequence* const> together_with(Sequence* const& sequence) {
  if (sequence->beams == nullptr) return {&sequence, 1};
  return sequence->beams->members;
}

// All of them know one token more than they have computed.
inline bool all_wait_for_a_token(std::span<Sequence* const> sequences) {
  return std::ranges::all_of(sequences, [](const Sequence* one) { return one->remaining() == 1; });
}

// Whether `a` goes before `b`, of one tenant or among those that have run.
inline bool is_senior(const Sequence* a, const Sequence* b) {
  return std::pair(a->priority, a->id.value) < std::pair(b->priority, b->id.value);
}

inline void insert_senior_first(std::vector<Sequence*>* queue, Sequence* sequence) {
  queue->insert(std::ranges::upper_bound(*queue, sequence, is_senior), sequence);
}

inline void insert_senior_last(std::vector<Sequence*>* queue, Sequence* sequence) {
  const auto is_junior = [](const Sequence* a, const Sequence* b) { return is_senior(b, a); };
  queue->insert(std::ranges::upper_bound(*queue, sequence, is_junior), sequence);
}

}  // namespace brisk
