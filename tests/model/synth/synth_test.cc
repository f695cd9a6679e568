#include "model/synth/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <string>

#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/rope_factors.h"
#include "model/model.h"
#include "model/synth/vocabulary.h"

namespace brisk {
namespace {

using ::testing::HasSubstr;

class Synth : public ::testing::Test {
 protected:
  Synth()
      : path_((std::filesystem::temp_directory_path() /
               ("brisk_synth_test." + std::to_string(::getpid()) + ".gguf"))
                  .string()) {}
  ~Synth() override { std::filesystem::remove(path_); }

  // A model of a shape's family that is written in milliseconds.
  static Shape small(std::string_view name) {
    Shape shape = *find_shape(name);
    shape.config.layers = 3;
    shape.config.hidden_size = 256;
    shape.config.heads = 4;
    shape.config.kv_heads = 2;
    shape.config.head_dim = shape.config.rotary_dim = 64;
    shape.config.ffn_size = 512;
    shape.config.expert_ffn_size = shape.config.experts > 0 ? 512 : 0;
    shape.config.vocab_size = 2000;
    return shape;
  }

  std::string written(const Shape& shape, const SynthOptions& options) {
    const auto result = write_synthetic(shape, options, path_);
    EXPECT_TRUE(result.ok()) << result.status();
    return read_file(path_, size_t{1} << 30).value_or("");
  }

  const std::string path_;
};

TEST_F(Synth, EveryFamilyLoadsInEveryFormat) {
  for (const Shape& shape : shapes()) {
    for (const char* format : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q4_k_m", "q6_k"}) {
      ASSERT_FALSE(written(small(shape.name), {.format = format, .on_progress = {}}).empty());
      const auto model = load_model(path_);
      ASSERT_TRUE(model.ok()) << shape.name << " " << format << ": " << model.status();
      EXPECT_EQ((*model)->spec.layers.size(), 3u);
      EXPECT_EQ((*model)->spec.vocab_size, 2000);
      ASSERT_NE((*model)->tokenizer, nullptr);
    }
  }
}

TEST_F(Synth, WeightsDependOnTheSeedAndNotOnThreads) {
  const Shape shape = small("llama-3.2-1b");
  const std::string one = written(shape, {.format = "q8_0", .threads = 1, .on_progress = {}});
  EXPECT_EQ(written(shape, {.format = "q8_0", .threads = 3, .on_progress = {}}), one);
  EXPECT_NE(written(shape, {.format = "q8_0", .seed = 2, .on_progress = {}}), one);
}

TEST_F(Synth, WeightsAreBellShapedAndNormsAreNearOne) {
  written(small("llama-2-7b"), {.format = "f32", .on_progress = {}});
  const auto checkpoint = open_checkpoint(path_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const Tensor& matrix = *(*checkpoint)->find("blk.1.ffn_up.weight");
  std::vector<float> values(static_cast<size_t>(matrix.values()));
  decode_values(matrix, 0, matrix.values(), values.data());
  double sum = 0, squares = 0, fourth = 0;
  for (const float value : values) {
    const double x = value / 0.02;
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  const auto count = static_cast<double>(values.size());
  EXPECT_NEAR(sum / count, 0, 0.01);
  EXPECT_NEAR(squares / count, 1, 0.02);
  EXPECT_NEAR(fourth / count, 3, 0.1);
  float norm = 0;
  decode_values(*(*checkpoint)->find("blk.0.attn_norm.weight"), 0, 1, &norm);
  EXPECT_NEAR(norm, 1, 0.1);
}

TEST_F(Synth, MixesFormatsAsLlamaCppDoes) {
  Shape shape = small("llama-2-7b");
  shape.config.layers = 8;
  written(shape, {.format = "q4_k_m", .on_progress = {}});
  const auto checkpoint = open_checkpoint(path_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::string better;
  for (int layer = 0; layer < 8; ++layer) {
    const auto name = fmt::format("blk.{}.ffn_down.weight", layer);
    better += (*checkpoint)->find(name)->dtype == DType::kQ6_K ? '6' : '4';
  }
  EXPECT_EQ(better, "64464466");
  EXPECT_EQ((*checkpoint)->find("output.weight")->dtype, DType::kQ6_K);
  EXPECT_EQ((*checkpoint)->find("token_embd.weight")->dtype, DType::kQ4_K);
  EXPECT_EQ((*checkpoint)->find("blk.0.attn_norm.weight")->dtype, DType::kF32);
}

TEST_F(Synth, RefusesUnknownNames) {
  EXPECT_THAT(std::string(message_of(find_shape("gpt-9").status())), HasSubstr("llama-3.2-1b"));
  const auto result =
      write_synthetic(small("stories15m"), {.format = "q3_k", .on_progress = {}}, path_);
  EXPECT_THAT(std::string(message_of(result.status())), HasSubstr("q4_k_m"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST(Shapes, HaveTheParametersOfTheRealModels) {
  const auto parameters = [](std::string_view name) {
    int64_t total = 0;
    for (const TensorPlan& tensor : tensors_of(find_shape(name)->config)) {
      int64_t values = 1;
      for (const int64_t extent : tensor.shape) values *= extent;
      total += values;
    }
    return total;
  };
  EXPECT_EQ(parameters("llama-2-7b"), 6'738'415'616);
  EXPECT_EQ(parameters("llama-3-8b"), 8'030'261'248);
  EXPECT_EQ(parameters("llama-3.2-1b"), 1'235'814'400 + 32);  // and rope_freqs
  EXPECT_EQ(parameters("tinyllama-1.1b"), 1'100'048'384);
  EXPECT_EQ(parameters("qwen3-0.6b"), 596'049'920);
}

// Llama 3.2's own factors, as llama.cpp's converter writes them.
TEST(Shapes, StretchLlama3sSlowWavesOnly) {
  const auto factors = llama3_rope_factors(find_shape("llama-3.2-1b")->config);
  ASSERT_EQ(factors.size(), 32u);
  EXPECT_EQ(factors.front(), 1.0f);
  EXPECT_EQ(factors.back(), 32.0f);
  EXPECT_GT(factors[16], 1.0f);
  EXPECT_LT(factors[16], 32.0f);
}

TEST(SyntheticTokenizer, EncodesAnyTextAndEnglishWell) {
  const std::string english = "the quick brown fox jumps over the lazy dog while it rains in spain";
  const std::string mixed = "Zahl: 42.\n\ttabs, \xC3\xA9t\xC3\xA9, \xE6\x97\xA5\xE6\x9C\xAC!";
  for (const Shape& shape : shapes()) {
    TokenizerData data =
        synthetic_tokenizer(shape.vocabulary, static_cast<int32_t>(shape.config.vocab_size));
    EXPECT_EQ(static_cast<int64_t>(data.tokens.size()), shape.config.vocab_size);
    const std::set<std::string> distinct(data.tokens.begin(), data.tokens.end());
    EXPECT_EQ(distinct.size(), data.tokens.size()) << shape.name;
    const auto tokenizer = Tokenizer::create(std::move(data));
    ASSERT_TRUE(tokenizer.ok()) << shape.name << ": " << tokenizer.status();
    const auto ids = (*tokenizer)->encode(english, {.add_special = false});
    EXPECT_LT(ids.size(), english.size() / 2) << shape.name;
    for (const std::string& text : {english, mixed}) {
      const auto back =
          (*tokenizer)->decode((*tokenizer)->encode(text, {.add_special = false}), false);
      EXPECT_EQ(back, text) << shape.name;
    }
  }
}

}  // namespace
}  // namespace brisk
