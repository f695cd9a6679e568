// Importance of structures, against what the loss does when their gates move.
#include "train/importance.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <functional>
#include <vector>

#include "tests/train/small_run.h"

namespace brisk::train {
namespace {

double loss_of(LlamaModel& model, const Batch& batch) {
  const at::NoGradGuard no_grad;
  model.refresh();
  NextToken objective;
  LossSums sums;
  objective.learn(model, batch, batch.learned(), sums);
  return sums.cross_entropy;
}

std::vector<Weight*> named(LlamaModel& model, const std::string& suffix) {
  std::vector<Weight*> found;
  for (Weight* weight : model.weights()) {
    if (weight->parts.front().name.ends_with(suffix)) found.push_back(weight);
  }
  return found;
}

// The loss's slope as a gate on these parts of weights moves around 1.
double slope_of(LlamaModel& model, const Batch& batch, const std::vector<at::Tensor>& gated) {
  constexpr double kStep = 0.02;
  std::vector<at::Tensor> before;
  for (const at::Tensor& part : gated) before.push_back(part.clone());
  const auto loss_at = [&](double gate) {
    for (size_t i = 0; i < gated.size(); ++i) gated[i].copy_(before[i] * gate);
    return loss_of(model, batch);
  };
  const double slope = (loss_at(1 + kStep) - loss_at(1 - kStep)) / (2 * kStep);
  for (size_t i = 0; i < gated.size(); ++i) gated[i].copy_(before[i]);
  model.refresh();
  return slope;
}

double distance(const std::vector<double>& slopes, const at::Tensor& gradients) {
  const at::Tensor flat = gradients.contiguous().view(-1);
  EXPECT_EQ(std::ssize(slopes), flat.numel());
  const at::Tensor seen =
      at::from_blob(const_cast<double*>(slopes.data()), flat.sizes(), at::kDouble);
  EXPECT_GT(flat.norm().item<double>(), 1e-2);
  return ((seen - flat).norm() / flat.norm()).item<double>();
}

class Gates : public testing::Test {
 protected:
  Gates() : model_(LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.2)) {
    for (Weight* norm : named(*model_, "norm.weight")) norm->master.normal_(1, 0.2);
    model_->refresh();
    NextToken objective;
    LossSums sums;
    objective.learn(*model_, batch_, batch_.learned(), sums);
    gradients_ = gate_gradients(*model_);
  }

  const Batch batch_ = one_document(random_tokens(48, 1));
  const std::unique_ptr<LlamaModel> model_;
  GateGradients gradients_;
};

TEST_F(Gates, OfNeuronsHaveTheSlopeOfTheLoss) {
  std::vector<double> slopes;
  for (Weight* down : named(*model_, "down_proj.weight")) {
    for (int64_t i = 0; i < model_->shape().ffn; ++i) {
      slopes.push_back(slope_of(*model_, batch_, {down->master.select(1, i)}));
    }
  }
  EXPECT_LT(distance(slopes, gradients_.neurons), 0.02);
}

TEST_F(Gates, OfHeadsHaveTheSlopeOfTheLoss) {
  const DecoderShape& shape = model_->shape();
  const int64_t width = shape.heads / shape.kv_heads * shape.head_dim;
  std::vector<double> slopes;
  for (Weight* output : named(*model_, "o_proj.weight")) {
    for (int64_t i = 0; i < shape.kv_heads; ++i) {
      slopes.push_back(slope_of(*model_, batch_, {output->master.narrow(1, i * width, width)}));
    }
  }
  EXPECT_LT(distance(slopes, gradients_.kv_heads), 0.02);
}

TEST_F(Gates, OfChannelsHaveTheSlopeOfTheLoss) {
  std::vector<double> slopes;
  for (int64_t i = 0; i < model_->shape().dim; ++i) {
    std::vector<at::Tensor> gated;
    for (Weight* norm : named(*model_, "norm.weight"))
      gated.push_back(norm->master.narrow(0, i, 1));
    slopes.push_back(slope_of(*model_, batch_, gated));
  }
  EXPECT_LT(distance(slopes, gradients_.channels), 0.02);
}

TEST_F(Gates, OfLayersHaveTheSlopeOfTheLoss) {
  std::vector<double> slopes;
  for (int64_t i = 0; i < model_->shape().layers; ++i) {
    const auto layer = static_cast<size_t>(i);
    slopes.push_back(slope_of(*model_, batch_,
                              {named(*model_, "o_proj.weight")[layer]->master,
                               named(*model_, "down_proj.weight")[layer]->master}));
  }
  EXPECT_LT(distance(slopes, gradients_.layers), 0.02);
}

TEST(TaylorImportance, IsTheMeanSquareOverSequences) {
  const TestDirectory directory("importance");
  SmallTraining data(directory);
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.1);
  const auto importance = taylor_importance(*model, *data.stream, 3, nullptr);
  ASSERT_TRUE(importance.ok()) << importance.status();
  data.stream->seek({});
  at::Tensor squares = at::zeros({model->shape().layers}, at::kDouble);
  for (int i = 0; i < 3; ++i) {
    const Batch batch = data.stream->next(1);
    for (Weight* weight : model->weights()) {
      EXPECT_EQ(weight->grad.abs().max().item<float>(), 0);
    }
    LossSums sums;
    data.objective.learn(*model, batch, batch.learned(), sums);
    squares += gate_gradients(*model).layers.square() / 3;
    for (Weight* weight : model->weights()) weight->grad.zero_();
  }
  ASSERT_EQ(importance->neurons.size(), 2u);
  EXPECT_EQ(importance->neurons[1].size(), 96u);
  EXPECT_EQ(importance->kv_heads[1].size(), 2u);
  EXPECT_EQ(importance->channels.size(), 64u);
  for (size_t i = 0; i < 2; ++i) {
    const double expected = squares[static_cast<int64_t>(i)].item<double>();
    EXPECT_NEAR(importance->layers[i], expected, 1e-6 * expected);
  }
}

TEST(TaylorImportance, OfABrokenModelIsRefused) {
  const TestDirectory directory("broken-importance");
  SmallTraining data(directory);
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.1);
  model->head().master.fill_(std::numeric_limits<float>::quiet_NaN());
  model->refresh();
  EXPECT_EQ(taylor_importance(*model, *data.stream, 3, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace brisk::train
