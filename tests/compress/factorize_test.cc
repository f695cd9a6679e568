#include "compress/factorize/factorize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>

#include "compress/edit/working_matrix.h"
#include "compress/factorize/truncated_svd.h"
#include "compress/prune/structured.h"
#include "compress/quantize/quantize.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/compile.h"
#include "model/convert/convert.h"
#include "model/low_rank.h"
#include "tests/compress/stories_fixture.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Factorized : public StoriesTest {
 protected:
  FactorizeOptions by_inputs(double ratio) const {
    FactorizeOptions options;
    options.ratio = ratio;
    options.documents = seen_;
    options.calibration = calibration_;
    options.threads = 2;
    return options;
  }

  FactorizeResult factorize(const std::string& out, const FactorizeOptions& options) const {
    const auto result = factorize_checkpoint(kStories, path(out), options);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(FactorizeResult{});
  }
};

absl::StatusCode code_of(const absl::StatusOr<FactorizeResult>& result) {
  return result.status().code();
}

TEST_F(Factorized, ErrorsFallWithTheRankAndAreLessOnTheInputs) {
  double last = std::numeric_limits<double>::infinity();
  for (const double ratio : {0.4, 0.2, 0.1}) {
    FactorizeOptions calibrated = by_inputs(ratio);
    calibrated.calibration = {.windows_max = 48, .window_tokens = 256};
    FactorizeOptions plain = calibrated;
    plain.documents.clear();
    const FactorizeResult result = factorize("m.gguf", calibrated);
    const FactorizeResult other = factorize("p.gguf", plain);
    const double budget = (1 - ratio) * static_cast<double>(result.parameters_before());
    EXPECT_LE(static_cast<double>(result.parameters()), budget);
    EXPECT_GE(static_cast<double>(result.parameters()), 0.95 * budget);
    EXPECT_LE(static_cast<double>(other.parameters()), budget);
    const double by_inputs = kl("m.gguf"), by_weights = kl("p.gguf");
    EXPECT_LT(by_inputs, 0.9 * by_weights) << ratio;
    EXPECT_LT(by_inputs, last) << ratio;
    last = by_inputs;
  }
}

TEST_F(Factorized, FilesFillTheSizeAskedFor) {
  FactorizeOptions options = by_inputs(0.3);
  options.ratio.reset();
  for (const char* out : {"m.gguf", "hf"}) {
    const uint64_t whole = convert_checkpoint(kStories, path(out), {})->bytes;
    options.bytes_max = whole * 3 / 4;
    const FactorizeResult result = factorize(out, options);
    EXPECT_LE(result.bytes, *options.bytes_max) << out;
    EXPECT_GE(static_cast<double>(result.bytes), 0.95 * static_cast<double>(*options.bytes_max));
    fs::remove_all(path(out));
  }
}

TEST_F(Factorized, EveryMatrixKeepsTheEnergyAskedFor) {
  FactorizeOptions options = by_inputs(0.5);
  options.ratio.reset();
  options.energy = 0.8;
  const FactorizeResult result = factorize("m.gguf", options);
  ASSERT_EQ(result.matrices.size(), 5u * 7);
  int factored = 0;
  for (const FactorizedMatrix& matrix : result.matrices) {
    EXPECT_GE(matrix.kept_energy, 0.8) << matrix.name;
    factored += matrix.rank > 0 ? 1 : 0;
    if (matrix.rank > 0) {
      EXPECT_LT(matrix.rank * (matrix.rows + matrix.depth), matrix.rows * matrix.depth);
    }
  }
  EXPECT_GT(factored, 0);
}

// All projections as products of their full rank, which are larger and the same model.
TEST_F(Factorized, AtFullRankThePredictionsAreTheSame) {
  const auto source = open_checkpoint(kStories).value();
  const auto model = make_editable_model(source, "whole").value();
  CheckpointEdit edit(source);
  for (size_t layer = 0; layer < model->weights.layers.size(); ++layer) {
    const auto matrices = decode_layer(*model, layer).value();
    for (const WorkingMatrix& matrix : matrices) {
      const LayerMatrix& place = matrix.place;
      const auto svd = TruncatedSvd::decompose(
          {.weights = matrix.values, .rows = place.rows, .depth = place.depth, .gram = {}},
          *model->kernels);
      const int64_t rank = std::min(place.rows, place.depth);
      const LowRankFactors factors = svd->factors(rank);
      edit.remove(*place.tensor);
      std::byte* a =
          edit.add(factor_name(place.name, Factor::kA), DType::kF32, {rank, place.depth});
      std::byte* b = edit.add(factor_name(place.name, Factor::kB), DType::kF32, {place.rows, rank});
      format_of(DType::kF32).encode(factors.a.data(), std::ssize(factors.a), a);
      format_of(DType::kF32).encode(factors.b.data(), std::ssize(factors.b), b);
    }
  }
  const auto factored =
      make_model(std::make_shared<const Checkpoint>(edit.edited()), "factored").value();
  const std::vector<int32_t> tokens = {1, 403, 407, 261, 378, 13, 31, 400, 17, 9};
  const auto expected = DecoderHarness(*model, {}).feed(tokens);
  const auto got = DecoderHarness(*factored, {}).feed(tokens);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 2e-3) << i;
}

TEST_F(Factorized, FilesAreTheSameOnAnyNumberOfThreads) {
  FactorizeOptions options = by_inputs(0.3);
  for (const int threads : {1, 3}) {
    options.threads = threads;
    factorize(fmt::format("{}.gguf", threads), options);
  }
  EXPECT_EQ(read_file(path("1.gguf"), 1 << 24).value(), read_file(path("3.gguf"), 1 << 24).value());
}

TEST_F(Factorized, FactorsSurviveConvertingThereAndBack) {
  factorize("m.gguf", by_inputs(0.3));
  ASSERT_TRUE(convert_checkpoint(path("m.gguf"), path("hf"), {}).ok());
  ASSERT_TRUE(convert_checkpoint(path("hf"), path("back.gguf"), {}).ok());
  const auto first = open_checkpoint(path("m.gguf")).value();
  const auto directory = open_checkpoint(path("hf")).value();
  const auto back = open_checkpoint(path("back.gguf")).value();
  int factors = 0;
  for (const NamedTensor& named : first->tensors) {
    const Tensor* other = back->find(named.name);
    ASSERT_NE(other, nullptr) << named.name;
    EXPECT_EQ(other->shape, named.tensor.shape);
    EXPECT_TRUE(std::ranges::equal(other->data, named.tensor.data)) << named.name;
    factors += is_factor(named.name, Factor::kA) ? 1 : 0;
  }
  ASSERT_GT(factors, 0);
  EXPECT_EQ(directory->metadata["config"][kLowRankKey], factors);
  EXPECT_THAT(to_text(first->metadata), HasSubstr(kLowRankKey));
  EXPECT_LT(std::abs(kl("hf") - kl("m.gguf")), 1e-6);
}

TEST_F(Factorized, ProductsWrittenDenselyAreTheSameModel) {
  FactorizeOptions options = by_inputs(0.3);
  factorize("m.gguf", options);
  options.dense = true;
  factorize("d.gguf", options);
  EXPECT_NEAR(kl("d.gguf"), kl("m.gguf"), 1e-4);
  const auto whole = open_checkpoint(kStories).value();
  const auto dense = open_checkpoint(path("d.gguf")).value();
  EXPECT_EQ(dense->tensors.size(), whole->tensors.size());
  EXPECT_FALSE(dense->metadata.contains(kLowRankKey));
}

TEST_F(Factorized, FactorsAreQuantisedAndCompiledAsOtherMatricesAre) {
  factorize("m.gguf", by_inputs(0.3));
  const double before = kl("m.gguf");
  QuantizeOptions quantize;
  quantize.scheme = "q8_0";
  quantize.documents = seen_;
  quantize.calibration = calibration_;
  quantize.threads = 2;
  for (const char* method : {"nearest", "importance", "gptq"}) {
    quantize.method = parse_quantize_method(method).value();
    const auto result = quantize_checkpoint(path("m.gguf"), path("q.gguf"), quantize);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_LT(kl("q.gguf", Activations::kInt8), before + 0.01) << method;
  }
  quantize.method = parse_quantize_method("awq").value();
  EXPECT_EQ(quantize_checkpoint(path("m.gguf"), path("x.gguf"), quantize).status().code(),
            absl::StatusCode::kUnimplemented);
  ASSERT_TRUE(compile_checkpoint(path("q.gguf"), path("c.gguf"), {}).ok());
  const std::vector<int32_t> tokens = {1, 403, 407, 261, 378};
  const auto packed = load_model(path("q.gguf")).value();
  const auto compiled = load_model(path("c.gguf")).value();
  EXPECT_EQ(DecoderHarness(*packed, {}).feed(tokens), DecoderHarness(*compiled, {}).feed(tokens));
}

TEST_F(Factorized, WhatCannotBeFactorisedIsSaid) {
  FactorizeOptions options = by_inputs(0.3);
  options.energy = 0.9;
  EXPECT_EQ(code_of(factorize_checkpoint(kStories, path("x.gguf"), options)),
            absl::StatusCode::kInvalidArgument)
      << "two measures";
  options.energy.reset();
  for (const double ratio : {0.0, 1.0, -1.0, std::nan("")}) {
    options.ratio = ratio;
    EXPECT_EQ(code_of(factorize_checkpoint(kStories, path("x.gguf"), options)),
              absl::StatusCode::kInvalidArgument);
  }
  options.ratio = 0.3;
  options.damping = 0;
  EXPECT_EQ(code_of(factorize_checkpoint(kStories, path("x.gguf"), options)),
            absl::StatusCode::kInvalidArgument);
  options = by_inputs(0.3);
  ConvertOptions blocks;
  blocks.dtype = "q8_0";
  ASSERT_TRUE(convert_checkpoint(kStories, path("q.gguf"), blocks).ok());
  EXPECT_THAT(
      std::string(factorize_checkpoint(path("q.gguf"), path("x.gguf"), options).status().message()),
      HasSubstr("factorise the float model"));
  factorize("m.gguf", options);
  EXPECT_EQ(code_of(factorize_checkpoint(path("m.gguf"), path("x.gguf"), options)),
            absl::StatusCode::kUnimplemented);
  StructuredOptions structures;
  structures.neurons = 0.1;
  structures.documents = seen_;
  EXPECT_EQ(prune_structures(path("m.gguf"), path("x.gguf"), structures).status().code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_FALSE(fs::exists(path("x.gguf")));
}

TEST_F(Factorized, WeightsThatAreNotFiniteAreNamed) {
  const auto source = open_checkpoint(kStories).value();
  CheckpointEdit edit(source);
  const float bad[] = {std::numeric_limits<float>::quiet_NaN()};
  edit.patch_values(*source->find_weight("blk.2.attn_v.weight"), 5, bad);
  ASSERT_TRUE(write_checkpoint(edit.edited(), kStories, path("nan.gguf"), {}).ok());
  const auto result = factorize_checkpoint(path("nan.gguf"), path("x.gguf"), by_inputs(0.3));
  EXPECT_EQ(code_of(result), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("blk.2.attn_v.weight"));
}

}  // namespace
}  // namespace brisk
