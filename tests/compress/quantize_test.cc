#include "compress/quantize/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "compress/prune/prune.h"
#include "compress/quantize/round_matrix.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/convert.h"
#include "tests/compress/stories_fixture.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

class Compressed : public StoriesTest {
 protected:
  QuantizeOptions options(const char* scheme, const char* method) const {
    QuantizeOptions options;
    options.scheme = scheme;
    options.method = parse_quantize_method(method).value();
    options.documents = seen_;
    options.calibration = calibration_;
    options.threads = 2;
    return options;
  }
};

TEST_F(Compressed, ModelsLoseLessWithEveryBetterMethod) {
  std::map<std::string, double> loss;
  for (const char* method : {"nearest", "importance", "awq", "gptq", "awq+gptq"}) {
    const auto result = quantize_checkpoint(kStories, path("m.gguf"), options("q4_0", method));
    ASSERT_TRUE(result.ok()) << result.status();
    loss[method] = kl("m.gguf");
  }
  EXPECT_LT(loss["importance"], loss["nearest"]);
  EXPECT_LT(loss["awq"], loss["importance"]);
  EXPECT_LT(loss["gptq"], 0.8 * loss["nearest"]);
  EXPECT_LT(loss["awq+gptq"], 0.8 * loss["nearest"]);
}

TEST_F(Compressed, DirectoriesOfCodesLoseLessWithEveryBetterMethod) {
  for (const char* scheme : {"int4-g32", "int4-g64", "int4-g32-asym"}) {
    std::map<std::string, double> loss;
    for (const char* method : {"nearest", "awq", "gptq"}) {
      const auto result = quantize_checkpoint(kStories, path("m"), options(scheme, method));
      ASSERT_TRUE(result.ok()) << result.status();
      loss[method] = kl("m");
      fs::remove_all(path("m"));
    }
    EXPECT_LT(loss["awq"], loss["nearest"]) << scheme;
    EXPECT_LT(loss["gptq"], 0.8 * loss["nearest"]) << scheme;
  }
}

TEST_F(Compressed, EightBitsAChannelKeepThePerplexity) {
  for (const char* scheme : {"w8a8", "fp8"}) {
    ASSERT_TRUE(quantize_checkpoint(kStories, path("m"), options(scheme, "smoothquant")).ok());
    EXPECT_NEAR(quality("m").divergence->perplexity_ratio.value, 1, 0.01) << scheme;
    fs::remove_all(path("m"));
  }
}

// What a method chose is what a reader finds: scales of a search are not those of rounding again.
TEST_F(Compressed, WrittenCodesAreThoseThatWereChosen) {
  const auto source = open_checkpoint(kStories).value();
  for (const char* name : {"int4-g32", "int4-g64-asym", "w8a8", "fp8"}) {
    const MatrixFormat format = {.dtype = DType::kScaled, .scheme = scaled_scheme(name)};
    const auto model = make_editable_model(source, "m").value();
    CheckpointEdit edit(source);
    ThreadTeam team(2);
    std::map<std::string, std::vector<float>> chosen;
    for (size_t layer = 0; layer < model->weights.layers.size(); ++layer) {
      auto matrices = decode_layer(*model, layer).value();
      for (WorkingMatrix& matrix : matrices) {
        if (matrix.place.depth % 64 != 0) continue;
        const StoredRows rows = rows_in(edit, matrix.place, format);
        ASSERT_TRUE(round_matrix({.method = RoundingMethod::kSearch}, matrix, rows, team).ok());
        std::vector<float>& values = chosen[matrix.place.name];
        values.resize(matrix.values.size());
        decode_values(rows.tensor(), 0, std::ssize(values), values.data());
      }
    }
    ConvertOptions writing;
    writing.dtype = name;
    ASSERT_TRUE(write_checkpoint(edit.edited(), kStories, path("m"), writing).ok());
    const auto written = open_checkpoint(path("m")).value();
    // Rows of q and k move between the layouts: all are compared in the order of their values.
    const auto sorted_rows = [](const std::vector<float>& values) {
      std::vector<std::vector<float>> rows;
      for (size_t at = 0; at < values.size(); at += 64) {
        rows.emplace_back(values.begin() + static_cast<long>(at),
                          values.begin() + static_cast<long>(at) + 64);
      }
      std::sort(rows.begin(), rows.end());
      return rows;
    };
    const std::pair<const char*, const char*> names[] = {
        {"blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"},
        {"blk.3.attn_v.weight", "model.layers.3.self_attn.v_proj.weight"},
        {"blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"}};
    for (const auto& [before, after] : names) {
      const Tensor* tensor = written->find(after);
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->dtype, DType::kScaled) << name;
      std::vector<float> values(static_cast<size_t>(tensor->values()));
      decode_values(*tensor, 0, tensor->values(), values.data());
      EXPECT_EQ(sorted_rows(values), sorted_rows(chosen.at(before))) << name << " " << before;
    }
    fs::remove_all(path("m"));
  }
}

TEST_F(Compressed, FormatsThatTheOutputCannotHoldAreNamed) {
  const std::pair<const char*, const char*> pairs[] = {
      {"int4-g32", "m.gguf"}, {"w8a8", "m.gguf"}, {"q4_0", "m"}, {"q2_k", "m"}, {"ternary", "m"}};
  for (const auto& [scheme, out] : pairs) {
    const auto result = quantize_checkpoint(kStories, path(out), options(scheme, "nearest"));
    ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << scheme;
    EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("choose what"));
    EXPECT_FALSE(fs::exists(path(out)));
  }
  // Rows of 64 and 172 inputs.
  for (const auto& [scheme, out] :
       {std::pair("int4-g128", "m"), std::pair("ternary", "m.gguf"), std::pair("q2_k", "m.gguf")}) {
    const auto result = quantize_checkpoint(kStories, path(out), options(scheme, "nearest"));
    ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << scheme;
    EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("no matrix has rows"));
  }
}

TEST_F(Compressed, SmoothingAloneChangesNothing) {
  for (const char* method : {"awq", "smoothquant"}) {
    ASSERT_TRUE(quantize_checkpoint(kStories, path("m.gguf"), options("f32", method)).ok());
    EXPECT_LT(kl("m.gguf"), 1e-8) << method;
  }
}

TEST_F(Compressed, FilesAreTheSameOnAnyNumberOfThreads) {
  QuantizeOptions one = options("q4_0", "awq+gptq"), three = one;
  one.threads = 1;
  three.threads = 3;
  ASSERT_TRUE(quantize_checkpoint(kStories, path("1.gguf"), one).ok());
  ASSERT_TRUE(quantize_checkpoint(kStories, path("3.gguf"), three).ok());
  EXPECT_EQ(read_file(path("1.gguf"), 1 << 24).value(), read_file(path("3.gguf"), 1 << 24).value());
}

TEST_F(Compressed, AMixBeatsOneFormatOfTheSameSize) {
  const auto uniform = quantize_checkpoint(kStories, path("u.gguf"), options("q5_0", "importance"));
  ASSERT_TRUE(uniform.ok());
  QuantizeOptions mixing = options("q4_0", "importance");
  mixing.bits = uniform->bits_per_weight;
  const auto mixed = quantize_checkpoint(kStories, path("m.gguf"), mixing);
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_LE(mixed->bits_per_weight, uniform->bits_per_weight + 1e-9);
  EXPECT_LT(kl("m.gguf"), kl("u.gguf"));
}

TEST_F(Compressed, PruningByInputsBeatsPruningByMagnitude) {
  std::map<std::string, double> loss;
  for (const char* method : {"magnitude", "wanda", "sparsegpt"}) {
    PruneOptions prune;
    prune.method = parse_prune_method(method).value();
    prune.pattern = parse_sparsity("0.5").value();
    prune.documents = seen_;
    prune.calibration = {.windows_max = 24, .window_tokens = 128};
    const auto result = prune_checkpoint(kStories, path("p.gguf"), prune);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_NEAR(result->sparsity(), 0.5, 0.002) << method;
    loss[method] = kl("p.gguf");
  }
  EXPECT_LT(loss["wanda"], loss["magnitude"]);
  EXPECT_LT(loss["sparsegpt"], loss["wanda"]);
}

TEST_F(Compressed, TheHeadIsPrunedWhereItIsAskedFor) {
  std::map<std::string, double> loss;
  for (const char* method : {"magnitude", "global-magnitude", "wanda", "sparsegpt"}) {
    PruneOptions prune;
    prune.method = parse_prune_method(method).value();
    const bool is_global = prune.method == PruneMethod::kGlobalMagnitude;
    prune.pattern = parse_sparsity(is_global ? "0.3" : "4:8").value();
    prune.head = true;
    prune.documents = seen_;
    prune.calibration = {.windows_max = 24, .window_tokens = 128};
    const auto result = prune_checkpoint(kStories, path("p.gguf"), prune);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_NEAR(result->sparsity(), is_global ? 0.3 : 0.5, 0.002) << method;
    const PrunedMatrix& head = result->matrices.back();
    EXPECT_EQ(head.name, "output.weight");
    const auto share = static_cast<double>(head.zeros) / static_cast<double>(head.values);
    EXPECT_GT(share, 0.05) << method;
    EXPECT_LE(share, 0.51) << method;
    const auto written = open_checkpoint(path("p.gguf")).value();
    const Tensor& stored = *written->find(head.name);
    std::vector<float> values(static_cast<size_t>(stored.values()));
    decode_values(stored, 0, stored.values(), values.data());
    EXPECT_EQ(std::count(values.begin(), values.end(), 0.0f), head.zeros) << method;
    loss[method] = kl("p.gguf");
  }
  EXPECT_LT(loss["wanda"], loss["magnitude"]);
  EXPECT_LT(loss["sparsegpt"], loss["wanda"]);
}

TEST_F(Compressed, GlobalMagnitudeRemovesExactlyTheShare) {
  PruneOptions prune;
  prune.method = PruneMethod::kGlobalMagnitude;
  prune.pattern.sparsity = 0.9;
  const auto result = prune_checkpoint(kStories, path("p.gguf"), prune);
  ASSERT_TRUE(result.ok()) << result.status();
  int64_t values = 0, zeros = 0;
  for (const PrunedMatrix& matrix : result->matrices) {
    values += matrix.values;
    zeros += matrix.zeros;
  }
  EXPECT_EQ(zeros, std::llround(0.9 * static_cast<double>(values)));
}

TEST_F(Compressed, QuantisedWeightsAreNotPruned) {
  ASSERT_TRUE(quantize_checkpoint(kStories, path("q.gguf"), options("q8_0", "nearest")).ok());
  PruneOptions prune;
  prune.method = PruneMethod::kMagnitude;
  const auto result = prune_checkpoint(path("q.gguf"), path("p.gguf"), prune);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("then quantise"));
}

TEST_F(Compressed, MethodsThatLookAtInputsWantAText) {
  QuantizeOptions blind = options("q4_0", "gptq");
  blind.documents.clear();
  EXPECT_EQ(quantize_checkpoint(kStories, path("q.gguf"), blind).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(path("q.gguf")));
}

TEST_F(Compressed, WeightsThatAreNotFiniteAreNamed) {
  std::string bytes = read_file(kStories, 1 << 24).value();
  const float nan = NAN;
  std::memcpy(bytes.data() + bytes.size() - 4000, &nan, sizeof nan);  // in the last tensors
  ASSERT_TRUE(write_file_atomically(path("nan.gguf"), bytes).ok());
  const auto result =
      quantize_checkpoint(path("nan.gguf"), path("q.gguf"), options("q4_0", "nearest"));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("is not finite"));
}

}  // namespace
}  // namespace brisk
