// What quantisation-aware training computed with is what the engine runs.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/status.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/format.h"
#include "tests/train/small_run.h"
#include "train/fake_quant.h"

namespace brisk::train {
namespace {

std::vector<float> logits_of_gguf(const std::string& path, const std::vector<int32_t>& tokens,
                                  Activations activations) {
  // Not on tiles, which have a numerics of their own.
  const auto model = load_model(path, {.tokenizer_path = "",
                                       .activations = activations,
                                       .threads = 1,
                                       .kernels = usable_kernels().front()});
  EXPECT_TRUE(model.ok()) << model.status();
  DecoderHarness harness(**model, {.rows_max = 64});
  return harness.feed(tokens);
}

double share_below(const std::vector<float>& a, const std::vector<float>& b, float limit) {
  int64_t near = 0;
  for (size_t i = 0; i < a.size(); ++i) near += std::abs(a[i] - b[i]) < limit ? 1 : 0;
  return static_cast<double>(near) / static_cast<double>(a.size());
}

std::string trained_for(const TestDirectory& directory, const std::string& name, bool int8,
                        std::unique_ptr<LlamaModel>* model) {
  SmallTraining training(directory);
  const QuantFormat format = quant_format(name).value();
  *model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
  (*model)->quantize_as(format.rounding, int8);
  const TrainResult result = training.train(**model, training.objective, 20, directory / "run");
  EXPECT_LT(result.loss, result.first_loss);
  const std::string out = directory / "model.gguf";
  EXPECT_TRUE(export_model(out, tiny_shape(), (*model)->weights(), training.tokenizer,
                           {.format = format.stored_as})
                  .ok());
  return out;
}

TEST(QuantisedTraining, EngineComputesTheSimulatedLogits) {
  for (const char* format : {"q8_0", "q4_0", "q4_1", "ternary"}) {
    for (const bool int8 : {true, false}) {
      const TestDirectory directory("qat");
      std::unique_ptr<LlamaModel> model;
      const std::string out = trained_for(directory, format, int8, &model);
      const std::vector<int32_t> tokens = random_tokens(40, 5);
      const auto engine =
          logits_of_gguf(out, tokens, int8 ? Activations::kInt8 : Activations::kF32);
      const std::vector<float> trained = trainer_logits(*model, tokens);
      const float largest = largest_difference(trained, engine);
      EXPECT_LT(largest, int8 ? 0.05f : 1e-3f) << format << (int8 ? " int8" : " f32");
      // An input that lies between two codes may round up here and down there, as sums have their
      // own orders; it then moves what follows by a code. That is rare.
      EXPECT_GE(share_below(trained, engine, 1e-3f), int8 ? 0.5 : 1.0) << format;
    }
  }
}

TEST(QuantisedTraining, TheFileHoldsTheSimulatedWeightsBitForBit) {
  for (const char* format : {"q8_0", "q4_0", "ternary"}) {
    const TestDirectory directory("bits");
    std::unique_ptr<LlamaModel> model;
    const auto file = open_checkpoint(trained_for(directory, format, true, &model)).value();
    const Tensor* tensor = file->find("blk.1.ffn_down.weight");
    ASSERT_NE(tensor, nullptr);
    std::vector<float> stored(static_cast<size_t>(tensor->values()));
    decode_values(*tensor, 0, tensor->values(), stored.data());
    for (Weight* weight : model->weights()) {
      if (weight->parts[0].name != "model.layers.1.mlp.down_proj.weight") continue;
      ASSERT_EQ(weight->seen.numel(), tensor->values());
      EXPECT_EQ(std::memcmp(weight->seen.data_ptr<float>(), stored.data(), stored.size() * 4), 0)
          << format;
    }
  }
}

TEST(QuantisedTraining, TernaryWeightsHaveThreeValuesInEveryGroup) {
  Rng rng(2);
  std::vector<float> weights(64), rounded(64);
  for (float& weight : weights) weight = static_cast<float>(rng.next_gaussian());
  quant_format("ternary")->rounding(weights.data(), 1, 64, rounded.data());
  for (size_t group = 0; group < 2; ++group) {
    std::vector<float> values(rounded.begin() + 32 * static_cast<int64_t>(group),
                              rounded.begin() + 32 * static_cast<int64_t>(group + 1));
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    ASSERT_EQ(values.size(), 3u);
    EXPECT_EQ(values[1], 0);
    EXPECT_EQ(values[0], -values[2]);
  }
}

TEST(QuantisedTraining, SearchedClippingErrsLessAndIsWhatTheEncoderKeeps) {
  Rng rng(3);
  std::vector<float> weights(64 * 32), plain(weights.size()), clipped(weights.size());
  for (float& weight : weights) weight = static_cast<float>(rng.next_gaussian());
  const auto error_of = [&](const std::vector<float>& rounded) {
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      sum += (weights[i] - rounded[i]) * (weights[i] - rounded[i]);
    }
    return sum;
  };
  for (const char* name : {"q4_0", "q8_0", "q5_0"}) {
    quant_format(name, Clipping::kNone)->rounding(weights.data(), 64, 32, plain.data());
    quant_format(name, Clipping::kSearch)->rounding(weights.data(), 64, 32, clipped.data());
    // 255 codes reach far enough: nothing is gained by covering less.
    EXPECT_LE(error_of(clipped), error_of(plain)) << name;
    if (std::string_view(name) == "q4_0") {
      EXPECT_LT(error_of(clipped), error_of(plain));
    }
    std::vector<float> again(weights.size());
    quant_format(name, Clipping::kNone)->rounding(clipped.data(), 64, 32, again.data());
    EXPECT_EQ(std::memcmp(again.data(), clipped.data(), again.size() * sizeof(float)), 0) << name;
  }
}

TEST(QuantisedTraining, UnknownFormatsAreNamed) {
  const absl::Status status = quant_format("q9").status();
  EXPECT_NE(message_of(status).find("q4_0"), std::string::npos) << status;
  EXPECT_FALSE(quant_format("q4_k_m").ok());
}

}  // namespace
}  // namespace brisk::train
