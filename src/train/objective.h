// What a model is trained towards, batch by batch.
#pragma once

#include <vector>

#include "train/llama.h"
#include "train/packing.h"

namespace brisk::train {

// Rows of a batch at which something is learned: their places in it, what comes next, and the
// weight of each in the loss.
struct LearnedRows {
  at::Tensor rows;  // int64
  at::Tensor tokens;
  at::Tensor weights;
};

// Each row weighs the same, all of `learned_total` rows (of a step, this batch's among them) one.
LearnedRows learned_rows(const Batch& batch, int64_t learned_total);

class Objective {
 public:
  virtual ~Objective() = default;

  // Adds the gradients of a batch's loss to the weights', and its parts to `sums`. Under
  // NoGradGuard: only the latter.
  virtual void learn(LlamaModel& model, const Batch& batch, int64_t learned_total,
                     LossSums& sums) = 0;
  // Weights besides the model's (projections of hidden states).
  virtual std::vector<Weight*> weights() { return {}; }
  // Called whenever those have moved.
  virtual void refresh() {}
};

// Predict the next token.
class NextToken final : public Objective {
 public:
  void learn(LlamaModel& model, const Batch& batch, int64_t learned_total, LossSums& sums) override;
};

}  // namespace brisk::train
