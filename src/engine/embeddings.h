// One vector for a prompt, pooled from the final hidden states of its tokens as steps compute them.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/request.h"
#include "engine/runner.h"
#include "engine/sched/step_plan.h"

namespace brisk {

// Engine thread only.
class PooledPrompt {
 public:
  PooledPrompt(Pooling pooling, int64_t tokens, int64_t hidden_size);

  // Takes in what a step has computed of the prompt. `row`: of the slice's first token in the step.
  // Positions that come again, after a preemption, change nothing.
  void add(const Slice& slice, int64_t row, const StepRunner& runner);

  bool complete() const { return next_ == tokens_; }
  // (hidden_size). REQUIRES: complete().
  std::vector<float> take() const;

 private:
  const Pooling pooling_;
  const int64_t tokens_;
  int64_t next_;  // position that is to come in
  std::vector<float> state_;
  std::vector<double> sum_;
};

}  // namespace brisk
