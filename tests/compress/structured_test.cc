#include "compress/prune/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "compress/evaluate/documents.h"
#include "compress/evaluate/quality.h"
#include "compress/prune/refit.h"
#include "model/checkpoint/structure_importance.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

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

// Every family and layout that has a tokenizer and float weights.
class Structures : public testing::TestWithParam<std::string> {};

TEST_P(Structures, GoAndWhatIsLeftLoadsAndRuns) {
  const std::string model = BRISK_BINARY_DIR "/reference/" + GetParam();
  const fs::path directory = fs::temp_directory_path() / fmt::format("brisk-st-{}", ::getpid());
  fs::create_directories(directory);
  const auto before = load_model(model).value();
  StructuredOptions options;
  options.documents = {"a b c d e f g h i j k l m n o p", "the quick brown fox, and 1 2 3"};
  options.kv_heads = 0.5;
  options.channels = 0.3;
  const bool routed = before->spec.layers.front().routed;
  if (!routed) options.neurons = 0.4;
  for (const char* out : {"small.gguf", "small"}) {
    const auto result = prune_structures(model, directory / out, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_LT(result->parameters, result->parameters_before);
    const auto after = load_model(directory / out);
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
  fs::remove_all(directory);
}

INSTANTIATE_TEST_SUITE_P(Families, Structures,
                         testing::Values("llama2/model.gguf", "llama3/hf", "mistral/hf", "qwen2/hf",
                                         "qwen3/hf", "gemma2/hf", "gemma3/hf", "phi4-mini/hf",
                                         "mixtral/hf", "qwen2moe/hf"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

const std::string kStories = BRISK_DATA_DIR "/models/stories260K/stories260Ktok512.gguf";

class Stories : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kStories)) GTEST_SKIP() << "needs the models of " << BRISK_DATA_DIR;
    out_ = fs::temp_directory_path() / fmt::format("brisk-stories-{}.gguf", ::getpid());
    auto stories = read_documents(BRISK_DATA_DIR "/text/tinystories-500.jsonl").value();
    options_.documents.assign(stories.begin(), stories.begin() + 40);
    options_.calibration = {.windows_max = 16, .window_tokens = 128};
    unseen_.assign(stories.begin() + 200, stories.begin() + 220);
  }
  void TearDown() override { fs::remove(out_); }

  double kl() const {
    LoadOptions exact;
    exact.activations = Activations::kF32;
    const auto model = load_model(out_, exact).value();
    const auto reference = load_model(kStories, exact).value();
    return measure_quality(*model, reference.get(), unseen_, {})->text->divergence->kl.value;
  }

  StructuredOptions options_;
  std::vector<Document> unseen_;
  fs::path out_;
};

TEST_F(Stories, HeadsGoAndTheFitMakesUpForThem) {
  options_.kv_heads = 0.25;
  ASSERT_TRUE(prune_structures(kStories, out_, options_).ok());
  const double fitted = kl();
  options_.damping = 1e6;  // holds the weights where they are
  ASSERT_TRUE(prune_structures(kStories, out_, options_).ok());
  EXPECT_LT(fitted, 0.9 * kl());
}

TEST_F(Stories, TheLayerWithTheLeastInfluenceGoes) {
  options_.layers = 1;
  const auto result = prune_structures(kStories, out_, options_);
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
  const fs::path file = out_.string() + ".importance";
  ASSERT_TRUE(write_structure_importance(file, importance).ok());
  options_.importance_path = file;
  options_.layers = 1;
  const auto result = prune_structures(kStories, out_, options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->removed_layers, std::vector<int>{3});
  importance.channels.pop_back();
  ASSERT_TRUE(write_structure_importance(file, importance).ok());
  EXPECT_EQ(prune_structures(kStories, out_, options_).status().code(),
            absl::StatusCode::kInvalidArgument);
  fs::remove(file);
}

TEST_F(Stories, WhatCannotGoIsSaid) {
  options_.layers = 5;
  EXPECT_EQ(prune_structures(kStories, out_, options_).status().code(),
            absl::StatusCode::kInvalidArgument);
  options_.layers = 0;
  options_.neurons = 1;
  EXPECT_EQ(prune_structures(kStories, out_, options_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(out_));
}

}  // namespace
}  // namespace brisk
