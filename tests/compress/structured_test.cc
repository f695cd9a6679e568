#include "compress/prune/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "compress/prune/refit.h"
#include "model/checkpoint/structure_importance.h"
#include "tests/compress/stories_fixture.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

TEST(RefitColumns, OnlySelectsWhereInputsAreIndependent) {
  const std::vector<float> gram = {1, 0, 0, 0, 2, 0, 0, 0, 3};
  std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  ASSERT_TRUE(refit_columns(gram, 3, std::vector<int64_t>{0, 2}, 0, weights).ok());
  EXPECT_THAT(weights, testing::Pointwise(testing::FloatEq(), {1.f, 3.f, 4.f, 6.f}));
}

TEST(RefitColumns, GivesTheWeightOfAnInputToItsTwin) {
  // Inputs 0 and 2 are always equal.
  const std::vector<float> gram = {2, 0, 2, 0, 1, 0, 2, 0, 2};
  std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  ASSERT_TRUE(refit_columns(gram, 3, std::vector<int64_t>{0, 1}, 0, weights).ok());
  EXPECT_THAT(weights, testing::Pointwise(testing::FloatNear(1e-5f), {4.f, 2.f, 10.f, 5.f}));
}

class Structures : public FamilyTest {};

TEST_P(Structures, GoAndWhatIsLeftLoadsAndRuns) {
  const auto before = load_model(model()).value();
  StructuredOptions options;
  options.documents = texts_;
  options.kv_heads = before->spec.kv_heads > 1 ? 0.5 : 0;
  options.channels = 0.3;
  const bool routed = before->spec.layers.front().routed;
  if (!routed) options.neurons = 0.4;
  for (const char* out : {"small.gguf", "small"}) {
    const auto result = prune_structures(model(), path(out), options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_LT(result->parameters, result->parameters_before);
    const auto after = load_model(path(out));
    ASSERT_TRUE(after.ok()) << after.status();
    const ModelSpec& spec = (*after)->spec;
    EXPECT_EQ(spec.hidden_size, result->hidden_size);
    EXPECT_EQ(spec.head_dim, before->spec.head_dim);
    EXPECT_EQ(spec.heads / spec.kv_heads, before->spec.heads / before->spec.kv_heads);
    if (!routed) {
      EXPECT_EQ(spec.ffn_size, result->ffn_size);
    }
    DecoderHarness harness(**after, {});
    for (const float logit : harness.feed(std::vector<int32_t>{1, 5, 9, 2})) {
      ASSERT_TRUE(std::isfinite(logit));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Structures, float_families(), family_name);

class Stories : public StoriesTest {
 protected:
  void SetUp() override {
    StoriesTest::SetUp();
    if (IsSkipped()) return;
    options_.documents = seen_;
    options_.calibration = calibration_;
  }

  absl::StatusOr<StructuredResult> prune() const {
    return prune_structures(kStories, path("m.gguf"), options_);
  }
  double kl() const { return StoriesTest::kl("m.gguf"); }

  StructuredOptions options_;
};

TEST_F(Stories, HeadsGoAndTheFitMakesUpForThem) {
  options_.kv_heads = 0.25;
  ASSERT_TRUE(prune().ok());
  const double fitted = kl();
  options_.damping = 1e6;  // holds the weights where they are
  ASSERT_TRUE(prune().ok());
  EXPECT_LT(fitted, 0.9 * kl());
}

// Of four key-value heads a tenth is none: the command would have left the model as it is.
TEST_F(Stories, SharesThatTakeNothingAreRefused) {
  options_.kv_heads = 0.1;
  const auto result = prune();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("ask for 0.13 or more"));
}

TEST_F(Stories, TheLayerWithTheLeastInfluenceGoes) {
  options_.layers = 1;
  const auto result = prune();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->layers, 4);
  EXPECT_EQ(result->removed_layers.size(), 1u);
  EXPECT_LT(kl(), 2);
}

TEST_F(Stories, ImportanceFromAFileDecides) {
  const auto model = load_model(kStories).value();
  StructureImportance importance;
  for (size_t layer = 0; layer < model->spec.layers.size(); ++layer) {
    importance.neurons.emplace_back(static_cast<size_t>(model->spec.ffn_size), 1.0);
    importance.kv_heads.emplace_back(static_cast<size_t>(model->spec.kv_heads), 1.0);
    importance.layers.push_back(layer == 3 ? 0 : 1);
  }
  importance.channels.assign(static_cast<size_t>(model->spec.hidden_size), 1.0);
  const std::string file = path("importance");
  ASSERT_TRUE(write_structure_importance(file, importance).ok());
  options_.importance_path = file;
  options_.layers = 1;
  const auto result = prune();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->removed_layers, std::vector<int>{3});
  importance.channels.pop_back();
  ASSERT_TRUE(write_structure_importance(file, importance).ok());
  EXPECT_EQ(prune().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Stories, WhatCannotGoIsSaid) {
  options_.layers = 5;
  EXPECT_EQ(prune().status().code(), absl::StatusCode::kInvalidArgument);
  options_.layers = 0;
  options_.neurons = 1;
  EXPECT_EQ(prune().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(path("m.gguf")));
}

}  // namespace
}  // namespace brisk
