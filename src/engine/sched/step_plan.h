// One step of the engine as plain data: what the runner computes and which tokens are drawn.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/kv/block_cache.h"

namespace brisk {

// One continuation of one prompt. Ids grow with the time of arrival and are never used again.
struct SequenceId {
  int64_t value = -1;
  bool operator==(const SequenceId&) const = default;
  template <class H>
  friend H AbslHashValue(H h, SequenceId id) {
    return H::combine(std::move(h), id.value);
  }
};

// Consecutive tokens of one sequence to run through the model: their keys and values go to their
// positions' slots, and they attend to positions [0, own].
struct Slice {
  SequenceId sequence;
  int32_t first = 0;                // position of tokens[0]; KV of [0, first) is there
  std::span<const int32_t> tokens;  // 1 or more
  std::span<const BlockId> blocks;  // cover positions [0, first + tokens.size())
  int32_t logits_from = 0;          // tokens[logits_from ..] need logits; tokens.size(): none does
  int32_t adapter = 0;              // PrefixScope::adapter of the sequence
};

// One token to draw. Several draw from one row where choices of a prompt begin.
struct Sample {
  SequenceId sequence;
  int32_t logits_row = 0;  // rows that need logits are numbered through all slices, in order
  int32_t position = 0;    // of the token to draw, for the random generator
};

// A sequence that was waiting and runs from this step on. Choices that have yet to fork are
// admitted together, under the first of them that is not cancelled.
struct Admission {
  SequenceId sequence;
  int32_t cached_tokens = 0;  // found in the prefix cache
  bool resumed = false;       // it ran before and was preempted, or forked from one that ran
};

// Views into the scheduler, valid until the step's commit() or fail_step().
struct StepPlan {
  std::vector<BlockCopy> copies;  // to execute before the slices, in order
  std::vector<Slice> slices;      // at most one a sequence
  std::vector<Sample> samples;
  std::vector<Admission> admitted;
  std::vector<SequenceId> preempted;  // they wait again, without blocks
  int32_t tokens = 0;                 // of all slices
  int32_t logits_rows = 0;            // of all slices
  int64_t positions = 0;              // that the tokens attend to, each its own among them

  bool empty() const { return slices.empty(); }
};

}  // namespace brisk
