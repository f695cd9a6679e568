// Gradients that are written by hand, against differences of the loss.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>

#include "tests/train/small_run.h"

namespace brisk::train {
namespace {

// Two sequences; the first has two documents.
Batch small_batch() {
  Batch batch = one_document(random_tokens(16, 1));
  const Batch second = one_document(random_tokens(16, 2));
  for (size_t i = 9; i < 16; ++i) {
    batch.starts[i] = 9;
    batch.positions[i] -= 9;
  }
  batch.targets[8] = -1;
  batch.sequences = 2;
  batch.tokens.insert(batch.tokens.end(), second.tokens.begin(), second.tokens.end());
  batch.positions.insert(batch.positions.end(), second.positions.begin(), second.positions.end());
  batch.starts.insert(batch.starts.end(), second.starts.begin(), second.starts.end());
  batch.targets.insert(batch.targets.end(), second.targets.begin(), second.targets.end());
  return batch;
}

double loss_of(LlamaModel& model, Objective& objective, const Batch& batch) {
  const at::NoGradGuard no_grad;
  model.refresh();
  LossSums sums;
  objective.learn(model, batch, batch.learned(), sums);
  return sums.cross_entropy;
}

// The loss along a weight's gradient must rise by the gradient's squared length.
void expect_true_gradients(LlamaModel& model, Objective& objective, double tolerance) {
  const Batch batch = small_batch();
  LossSums sums;
  objective.learn(model, batch, batch.learned(), sums);
  for (Weight* weight : model.weights()) {
    if (!weight->trains()) continue;
    const double squared = weight->grad.pow(2).sum().item<double>();
    ASSERT_GT(squared, 0) << weight->parts[0].name;
    const double step = 2e-2 / std::sqrt(squared);
    const at::Tensor before = weight->master.clone();
    weight->master.copy_(before.add(weight->grad, step));
    const double above = loss_of(model, objective, batch);
    weight->master.copy_(before.sub(weight->grad, step));
    const double below = loss_of(model, objective, batch);
    weight->master.copy_(before);
    EXPECT_NEAR((above - below) / (2 * step) / squared, 1, tolerance) << weight->parts[0].name;
  }
}

TEST(Gradients, AreThoseOfTheLoss) {
  for (const bool tied : {true, false}) {
    DecoderShape shape = tiny_shape();
    shape.tied = tied;
    const auto model = LlamaModel::create(shape, ComputeType::kF32, 7, 0.1);
    NextToken objective;
    expect_true_gradients(*model, objective, 0.02);
  }
}

TEST(Gradients, OfAdaptersAreThoseOfTheLossAndTheBaseHasNone) {
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.1);
  model->train_weights(false);
  model->add_adapters({.rank = 4, .alpha = 8}, 1);
  for (Weight* weight : model->weights()) {
    if (weight->trains()) weight->master.normal_(0, 0.1);
  }
  model->refresh();
  NextToken objective;
  expect_true_gradients(*model, objective, 0.02);
}

TEST(Kernels, PortableOnesAgreeWithTheFastOnes) {
  if (!has_avx512()) GTEST_SKIP() << "this CPU has no AVX-512";
  const std::vector<float> logits = [] {
    Rng rng(3);
    std::vector<float> values(4 * 37);
    for (float& value : values) value = static_cast<float>(rng.next_gaussian() * 4);
    return values;
  }();
  const std::vector<int32_t> targets = {0, 5, 36, 7};
  const std::vector<float> weights(4, 0.25f);
  std::vector<float> results[2], losses[2];
  for (const int i : {0, 1}) {
    results[i] = logits;
    losses[i].resize(4);
    const auto& kernels =
        i == 0 ? portable_kernels(ComputeType::kF32) : avx512_kernels(ComputeType::kF32);
    kernels.token_loss({.logits = results[i].data(),
                        .targets = targets.data(),
                        .weights = weights.data(),
                        .losses = losses[i].data(),
                        .vocab = 37},
                       0, 4);
  }
  EXPECT_LT(largest_difference(results[0], results[1]), 1e-6f);
  EXPECT_LT(largest_difference(losses[0], losses[1]), 1e-5f);
}

}  // namespace
}  // namespace brisk::train
