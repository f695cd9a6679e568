// Whole models with weights in tiles: near what f32 gives, and the same bits however tokens arrive.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compute/kernels/cpu/dispatch.h"
#include "model/model.h"
#include "model/synth/shapes.h"
#include "model/synth/synth.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

// Of the rows' relative errors.
double median_error(const std::vector<float>& exact, const std::vector<float>& other, size_t cols) {
  std::vector<double> errors;
  for (size_t row = 0; row < exact.size(); row += cols) {
    double error = 0, total = 0;
    for (size_t i = row; i < row + cols; ++i) {
      error += std::pow(exact[i] - other[i], 2);
      total += std::pow(exact[i], 2);
    }
    errors.push_back(std::sqrt(error / total));
  }
  std::sort(errors.begin(), errors.end());
  return errors[errors.size() / 2];
}

class TiledModels : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto kernels = choose_kernels("amx-emulated");
    if (!kernels.ok()) GTEST_SKIP() << kernels.status();
    kernels_ = *kernels;
    for (int32_t i = 0; i < 70; ++i) tokens_.push_back(i * 37 % 1000);
  }
  ~TiledModels() override { std::filesystem::remove(path_); }

  void write(const char* shape_name, const std::string& format) const {
    Shape shape = find_shape(shape_name).value();
    shape.config.layers = 2;
    shape.config.hidden_size = 256;
    shape.config.heads = 4;
    shape.config.kv_heads = 2;
    shape.config.head_dim = shape.config.rotary_dim = 64;
    shape.config.ffn_size = 512;
    shape.config.expert_ffn_size = shape.config.experts > 0 ? 512 : 0;
    shape.config.vocab_size = 1010;  // not whole panels
    const auto written = write_synthetic(shape, {.format = format, .on_progress = {}}, path_);
    ASSERT_TRUE(written.ok()) << written.status();
  }

  std::shared_ptr<const Model> load(Activations activations) const {
    LoadOptions options;
    options.activations = activations;
    options.kernels = kernels_;
    return load_model(path_, options).value();
  }

  const std::string path_ =
      std::filesystem::temp_directory_path() / ("brisk-tiles-" + std::to_string(::getpid()));
  const KernelTable* kernels_ = nullptr;
  std::vector<int32_t> tokens_;
};

TEST_P(TiledModels, LogitsAreNearThoseOfF32) {
  for (const char* format : {"bf16", "f16", "f32", "q8_0", "q4_0", "q4_k_m", "q6_k"}) {
    ASSERT_NO_FATAL_FAILURE(write(GetParam(), format));
    const auto exact_model = load(Activations::kF32), tiled_model = load(Activations::kInt8);
    ASSERT_FALSE(exact_model->weights.head.weight.is_packed());
    ASSERT_TRUE(tiled_model->weights.head.weight.tiles.has_value());
    ASSERT_TRUE(tiled_model->weights.layers[1].o.weight.tiles.has_value());
    const std::vector<float> exact = DecoderHarness(*exact_model, {}).feed(tokens_);
    const std::vector<float> tiled = DecoderHarness(*tiled_model, {}).feed(tokens_);
    // Two operands rounded to 8 bits. The median, because a near tie between experts may send a
    // token another way.
    const double error =
        median_error(exact, tiled, static_cast<size_t>(exact_model->spec.vocab_size));
    EXPECT_LT(error, 0.01) << format;
    EXPECT_GT(error, 0) << format;
  }
}

TEST_P(TiledModels, LogitsDoNotDependOnTheStep) {
  ASSERT_NO_FATAL_FAILURE(write(GetParam(), "q4_k_m"));
  const auto model = load(Activations::kInt8);
  const std::vector<float> expected = DecoderHarness(*model, {}).feed(tokens_);
  for (const size_t step : {1, 3, 16, 33, 64}) {
    DecoderHarness harness(*model, {.threads = 2});
    std::vector<float> logits;
    for (size_t at = 0; at < tokens_.size(); at += step) {
      const size_t count = std::min(step, tokens_.size() - at);
      const auto part = harness.feed(std::span<const int32_t>(tokens_).subspan(at, count));
      logits.insert(logits.end(), part.begin(), part.end());
    }
    EXPECT_EQ(logits, expected) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, TiledModels, testing::Values("llama-3.2-1b", "mixtral-tiny"),
                         [](const auto& row) {
                           return std::string(row.param).substr(0, 5) == "llama" ? "dense"
                                                                                 : "routed";
                         });

}  // namespace
}  // namespace brisk
