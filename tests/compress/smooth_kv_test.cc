#include "compress/quantize/smooth_kv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "compress/quantize/quantize.h"
#include "compute/sys/mapped_file.h"
#include "tests/compress/stories_fixture.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

QuantizeOptions smoothing(KvElement element, std::vector<Document> documents) {
  QuantizeOptions options;
  options.scheme = "f32";
  options.method = parse_quantize_method("nearest").value();
  options.kv_calibration = element;
  options.documents = std::move(documents);
  options.calibration = {.windows_max = 24, .window_tokens = 128};
  options.threads = 2;
  return options;
}

std::vector<float> logits_of(const std::string& model) {
  LoadOptions exact;
  exact.activations = Activations::kF32;
  const auto loaded = load_model(model, exact).value();
  DecoderHarness harness(*loaded, {});
  return harness.feed(std::vector<int32_t>{1, 5, 9, 2, 7, 3, 8, 4});
}

class SmoothedKv : public FamilyTest {};

TEST_P(SmoothedKv, TheModelComputesWhatItDid) {
  const std::string end = model().ends_with(".gguf") ? ".gguf" : "";
  QuantizeOptions options = smoothing(KvElement::kInt4, texts_);
  const std::string smooth = path("smooth" + end), plain = path("plain" + end);
  const auto result = quantize_checkpoint(model(), smooth, options);
  ASSERT_TRUE(result.ok()) << result.status();
  KvLoss all;
  for (const KvLoss& loss : result->kv) {
    EXPECT_LE(loss.keys_after, loss.keys_before);
    EXPECT_LE(loss.values_after, loss.values_before);
    EXPECT_GT(loss.values_before, 0);
    all.add(loss);
  }
  EXPECT_LT(all.keys_after + all.values_after, all.keys_before + all.values_before);
  options.kv_calibration = std::nullopt;
  ASSERT_TRUE(quantize_checkpoint(model(), plain, options).ok());

  const std::vector<float> before = logits_of(plain), after = logits_of(smooth);
  for (size_t i = 0; i < before.size(); ++i) ASSERT_NEAR(after[i], before[i], 1e-4) << i;
  const auto changed = load_model(smooth).value();
  const auto same = load_model(plain).value();
  const LayerWeights& a = changed->weights.layers[0];
  const LayerWeights& b = same->weights.layers[0];
  EXPECT_FALSE(std::ranges::equal(a.v.weight.data, b.v.weight.data) &&
               std::ranges::equal(a.k.weight.data, b.k.weight.data) &&
               a.k_norm.weight == b.k_norm.weight);
}

INSTANTIATE_TEST_SUITE_P(Families, SmoothedKv, float_families(), family_name);

using SmoothedStories = StoriesTest;

TEST_F(SmoothedStories, CoarseCachesCostLess) {
  const std::string model = BRISK_DATA_DIR "/models/stories3M/stories3M-q80.bin";
  const std::string tokenizer = BRISK_DATA_DIR "/models/stories3M/tok4096.bin";
  QuantizeOptions options = smoothing(KvElement::kInt4, seen_);
  options.tokenizer_path = tokenizer;
  ASSERT_TRUE(quantize_checkpoint(model, path("m.gguf"), options).ok());
  LoadOptions exact;
  exact.activations = Activations::kF32;
  const auto smooth = load_model(path("m.gguf"), exact).value();
  exact.tokenizer_path = tokenizer;
  const auto plain = load_model(model, exact).value();
  unseen_.resize(12);
  const auto kl = [&](const Model& candidate, KvDType dtype) {
    QualityOptions quality;
    quality.kv_dtype = dtype;
    return measure_quality(candidate, plain.get(), unseen_, quality)->text->divergence->kl.value;
  };
  EXPECT_LT(kl(*smooth, KvDType::kF32), 1e-8);
  EXPECT_LT(kl(*smooth, KvDType::kInt4), 0.95 * kl(*plain, KvDType::kInt4));
}

// Smoothing for the cache, then rounding what came of it; or both in one run, where each layer is
// smoothed for what the rounded ones before it make of the texts.
TEST_F(SmoothedStories, InOneRunWithRoundingIsAsGoodAsInTwo) {
  const std::string model = BRISK_DATA_DIR "/models/stories3M/stories3M-q80.bin";
  LoadOptions exact;
  exact.activations = Activations::kF32;
  exact.tokenizer_path = BRISK_DATA_DIR "/models/stories3M/tok4096.bin";
  const auto plain = load_model(model, exact).value();
  exact.tokenizer_path.clear();
  unseen_.resize(12);
  const auto kl = [&](const std::string& name) {
    QualityOptions quality;
    quality.kv_dtype = KvDType::kInt4;
    const auto candidate = load_model(path(name), exact).value();
    return measure_quality(*candidate, plain.get(), unseen_, quality)->text->divergence->kl.value;
  };
  QuantizeOptions smooth = smoothing(KvElement::kInt4, seen_);
  smooth.tokenizer_path = BRISK_DATA_DIR "/models/stories3M/tok4096.bin";
  ASSERT_TRUE(quantize_checkpoint(model, path("smooth.gguf"), smooth).ok());
  for (const char* method : {"awq+gptq"}) {
    QuantizeOptions rounding = smooth;
    rounding.scheme = "q4_0";
    rounding.method = parse_quantize_method(method).value();
    ASSERT_TRUE(quantize_checkpoint(model, path("both.gguf"), rounding).ok());
    rounding.kv_calibration = std::nullopt;
    ASSERT_TRUE(quantize_checkpoint(model, path("alone.gguf"), rounding).ok());
    rounding.tokenizer_path.clear();
    ASSERT_TRUE(quantize_checkpoint(path("smooth.gguf"), path("in-turn.gguf"), rounding).ok());
    const double both = kl("both.gguf"), in_turn = kl("in-turn.gguf"), alone = kl("alone.gguf");
    EXPECT_NEAR(both, in_turn, 0.05 * in_turn) << method;
    EXPECT_LT(both, alone) << method;
    ::testing::Test::RecordProperty(method, fmt::format("{} {} {}", both, in_turn, alone));
  }
}

TEST_F(SmoothedStories, FilesAreTheSameOnAnyNumberOfThreads) {
  QuantizeOptions one = smoothing(KvElement::kInt4, seen_), three = one;
  one.threads = 1;
  three.threads = 3;
  ASSERT_TRUE(quantize_checkpoint(kStories, path("1.gguf"), one).ok());
  ASSERT_TRUE(quantize_checkpoint(kStories, path("3.gguf"), three).ok());
  EXPECT_EQ(read_file(path("1.gguf"), 1 << 24).value(), read_file(path("3.gguf"), 1 << 24).value());
}

TEST_F(SmoothedStories, ATextIsAskedFor) {
  const auto result =
      quantize_checkpoint(kStories, path("m.gguf"), smoothing(KvElement::kInt4, {}));
  ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("--calibration"));
}

}  // namespace
}  // namespace brisk
