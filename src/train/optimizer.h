// AdamW with decoupled weight decay, clipping by the global norm, and a moving average of weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "train/weight.h"

namespace brisk::train {

struct OptimizerSettings {
  double learning_rate = 1e-3;     // the highest
  double learning_rate_end = 0.1;  // of the highest, at the last step
  int64_t warmup_steps = 100;
  int64_t steps = 1000;
  double weight_decay = 0.1;  // of matrices in layers
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double clip = 1;           // the largest norm of all gradients together; 0: none
  double average_decay = 0;  // of the moving average; 0: there is none
};

// Linear up to the highest rate, then half a cosine down. `step` counts from 1.
double learning_rate_at(const OptimizerSettings& settings, int64_t step);

// One thread at a time.
class AdamW {
 public:
  struct Moments {
    at::Tensor first, second;
    at::Tensor average;  // undefined without a moving average
  };

  // For those of `weights`, which outlive this, that train.
  AdamW(std::vector<Weight*> weights, const OptimizerSettings& settings);

  // Moves the weights along their gradients, which become zero. `step` counts from 1. Returns the
  // norm of the gradients before clipping; where it is not finite nothing is moved.
  double step(int64_t step);

  // Puts the moving averages into the masters, when training is over.
  void use_averages();

  const std::vector<Weight*>& weights() const { return weights_; }
  std::vector<Moments>& moments() { return moments_; }  // (weights)

 private:
  double gradient_norm() const;

  std::vector<Weight*> weights_;
  const OptimizerSettings settings_;
  std::vector<Moments> moments_;
};

}  // namespace brisk::train
