// What is trained is what the engine runs.
#include <gtest/gtest.h>

#include "tests/train/small_run.h"

namespace brisk::train {
namespace {

TEST(TrainerParity, EngineComputesTheTrainersLogits) {
  for (const bool tied : {true, false}) {
    const TestDirectory directory("parity");
    SmallTraining training(directory);
    DecoderShape shape = tiny_shape();
    shape.tied = tied;
    const auto model = LlamaModel::create(shape, ComputeType::kF32, 7, 0.05);
    const TrainResult result = training.train(*model, training.objective, 20, directory / "run");
    EXPECT_LT(result.loss, result.first_loss);
    const std::string out = directory / "model";
    ASSERT_TRUE(
        export_model(out, shape, model->weights(), training.tokenizer, {.format = "f32"}).ok());
    const std::vector<int32_t> tokens = random_tokens(40, 5);
    EXPECT_LT(largest_difference(trainer_logits(*model, tokens), engine_logits(out, tokens)), 1e-3f)
        << (tied ? "tied" : "untied");
  }
}

TEST(TrainerParity, Bf16ProductsStayNearTheExactOnes) {
  const auto exact = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
  const auto rounded = LlamaModel::create(tiny_shape(), ComputeType::kBF16, 7, 0.05);
  const std::vector<int32_t> tokens = random_tokens(40, 5);
  EXPECT_LT(largest_difference(trainer_logits(*exact, tokens), trainer_logits(*rounded, tokens)),
            0.05f);
}

TEST(TrainerParity, DocumentsInOneSequenceDoNotSeeEachOther) {
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
  const std::vector<int32_t> first = random_tokens(20, 5), second = random_tokens(30, 6);
  Batch packed = one_document(first);
  const Batch tail = one_document(second);
  packed.length = 50;
  packed.tokens.insert(packed.tokens.end(), tail.tokens.begin(), tail.tokens.end());
  packed.positions.insert(packed.positions.end(), tail.positions.begin(), tail.positions.end());
  packed.starts.resize(50, 20);
  const at::Tensor together = model->logits(model->input_of(packed));
  std::vector<float> both = trainer_logits(*model, first);
  const std::vector<float> alone = trainer_logits(*model, second);
  both.insert(both.end(), alone.begin(), alone.end());
  const float* data = together.data_ptr<float>();
  EXPECT_LT(largest_difference({data, data + together.numel()}, both), 1e-5f);
}

}  // namespace
}  // namespace brisk::train
