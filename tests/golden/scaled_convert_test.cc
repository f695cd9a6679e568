// Directories of codes with scales, written and read back: every matrix is, to the bit, what
// rounding the source's gives, and the model is the source's but for that.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "compute/quant/codecs.h"
#include "compute/quant/format.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/scaled_scheme.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/convert.h"
#include "model/model.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

class ScaledConvert : public testing::TestWithParam<std::string> {
 protected:
  ScaledConvert()
      : source_(fs::path(BRISK_BINARY_DIR "/reference") / "ct-fp8" / "hf"),
        out_(fs::temp_directory_path() /
             fmt::format("brisk_int_convert.{}.{}", ::getpid(), GetParam())) {}
  ~ScaledConvert() override { fs::remove_all(out_); }

  absl::StatusOr<ConvertResult> convert() const {
    ConvertOptions options;
    options.dtype = GetParam();
    options.threads = 3;
    return convert_checkpoint(source_.string(), out_.string(), options);
  }

  fs::path source_, out_;
};

std::vector<float> values_of_tensor(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.values()));
  decode_values(tensor, 0, tensor.values(), values.data());
  return values;
}

TEST_P(ScaledConvert, WritesWhatRoundingGivesAndReadsItBackToTheBit) {
  ASSERT_TRUE(convert().ok()) << convert().status();
  const auto source = open_checkpoint(source_.string()), out = open_checkpoint(out_.string());
  ASSERT_TRUE(out.ok()) << out.status();
  ScaledScheme scheme = *scaled_scheme(GetParam());
  scheme.scale_dtype = DType::kF16;  // as the source's weights
  int rounded = 0;
  for (const NamedTensor& named : (*source)->tensors) {
    const Tensor* written = (*out)->find(named.name);
    ASSERT_NE(written, nullptr) << named.name;
    ASSERT_EQ(written->shape, named.tensor.shape);
    std::vector<float> expected = values_of_tensor(named.tensor);
    if (written->dtype == DType::kScaled) {
      const int64_t inputs = written->shape[1];
      const auto codes = round_to_nearest(scheme, expected, inputs);
      ASSERT_TRUE(codes.ok()) << codes.status();
      const int64_t groups = scaled_groups(scheme, inputs);
      const int64_t width = scheme.group == 0 ? inputs : scheme.group;
      for (size_t i = 0; i < expected.size(); ++i) {
        const auto row = static_cast<int64_t>(i) / inputs, input = static_cast<int64_t>(i) % inputs;
        const auto group = static_cast<size_t>(row * groups + input / width);
        const int zero = codes->zeros.empty() ? 1 << (scheme.bits - 1) : codes->zeros[group];
        const float code = scheme.is_float ? quant::e4m3_to_f32(codes->codes[i])
                                           : static_cast<float>(codes->codes[i] - zero);
        expected[i] = code * codes->scales[group];
      }
      ++rounded;
    }
    ASSERT_EQ(values_of_tensor(*written), expected) << named.name;
  }
  EXPECT_EQ(rounded, 14);
}

// Rounding again would choose other scales.
TEST_P(ScaledConvert, KeepsTheCodesOfWhatIsInTheSchemeAlready) {
  ASSERT_TRUE(convert().ok());
  ConvertOptions options;
  options.dtype = GetParam();
  const std::string again = out_.string() + ".again";
  const auto converted = convert_checkpoint(out_.string(), again, options);
  const auto bytes_of_file = [](const std::string& directory) {
    return read_file(directory + "/model.safetensors", 64 << 20).value();
  };
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_TRUE(bytes_of_file(again) == bytes_of_file(out_.string()));
  fs::remove_all(again);
}

// What others chose by calibration survives: zero points less one, words down the columns and all.
TEST(ConvertedGptq, KeepsItsCodes) {
  const fs::path source = fs::path(BRISK_BINARY_DIR "/reference") / "gptq-int4" / "hf";
  const fs::path out = fs::temp_directory_path() / fmt::format("brisk_gptq.{}", ::getpid());
  ConvertOptions options;
  options.dtype = "int4-g64-asym";
  const auto converted = convert_checkpoint(source.string(), out.string(), options);
  ASSERT_TRUE(converted.ok()) << converted.status();
  const auto before = open_checkpoint(source.string()), after = open_checkpoint(out.string());
  ASSERT_TRUE(after.ok()) << after.status();
  for (const NamedTensor& named : (*before)->tensors) {
    EXPECT_EQ(values_of_tensor(*(*after)->find(named.name)), values_of_tensor(named.tensor))
        << named.name;
  }
  fs::remove_all(out);
}

TEST(ScaledTensor, HoldsTheCodesItWasMadeOf) {
  std::vector<float> weights(20 * 64);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = std::sin(static_cast<float>(i * i % 97));
  for (const char* name : {"int4-g32", "int4-g64-asym", "w8a8", "fp8"}) {
    const ScaledScheme scheme = *scaled_scheme(name);
    const auto codes = round_to_nearest(scheme, weights, 64);
    ASSERT_TRUE(codes.ok()) << codes.status();
    std::vector<std::byte> memory(static_cast<size_t>(scaled_bytes(scheme, 20, 64)));
    put_codes(scheme, *codes, 0, 20, memory);
    const Tensor tensor = scaled_tensor(scheme, 20, 64, memory);
    const auto back = codes_of(scheme, tensor, 20, [](int64_t output) { return output; });
    ASSERT_TRUE(back.has_value()) << name;
    EXPECT_EQ(back->codes, codes->codes) << name;
    EXPECT_EQ(back->scales, codes->scales) << name;
    EXPECT_EQ(back->zeros, codes->zeros) << name;
    EXPECT_EQ(panel_format_for(tensor).has_value(), !scheme.is_float) << name;
    const std::vector<float> values = values_of_tensor(tensor);
    for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], weights[i], 0.1) << name;
    EXPECT_FALSE(codes_of(*scaled_scheme("int4-g128"), tensor, 20, [](int64_t o) { return o; }));
  }
}

TEST_P(ScaledConvert, RunsNearTheSource) {
  ASSERT_TRUE(convert().ok());
  const std::vector<int32_t> prompt = {1, 17, 99, 200, 5, 42};
  std::vector<float> logits[2];
  for (const fs::path& path : {source_, out_}) {
    const auto model = load_model(path.string(), {});
    ASSERT_TRUE(model.ok()) << model.status();
    DecoderHarness decoder(**model, {});
    logits[path == out_] = decoder.feed(prompt);
  }
  double square = 0, difference = 0;
  for (size_t i = 0; i < logits[0].size(); ++i) {
    square += static_cast<double>(logits[0][i]) * static_cast<double>(logits[0][i]);
    difference += std::pow(static_cast<double>(logits[1][i] - logits[0][i]), 2);
  }
  // Random weights: no calibration could tell which matter. The source's are in fp8 already.
  EXPECT_LT(difference, (GetParam() == "w8a8" ? 0.01 : 0.25) * square);
  EXPECT_EQ(difference == 0, GetParam() == "fp8");
}

INSTANTIATE_TEST_SUITE_P(Schemes, ScaledConvert,
                         testing::Values("int4-g64", "int4-g32", "int4-g64-asym", "int4-g32-asym",
                                         "w8a8", "fp8"),
                         [](const auto& row) {
                           std::string name = row.param;
                           for (char& c : name) {
                             if (c == '-') c = '_';
                           }
                           return name;
                         });

TEST(RoundToNearest, SurvivesWhatWeightsMayBe) {
  for (const bool symmetric : {true, false}) {
    const ScaledScheme scheme = {.bits = 4, .group = 4, .symmetric = symmetric};
    // Zeros; subnormal numbers, whose scale is; one sign only.
    const std::vector<float> weights = {0, 0, 0, 0, 1e-44f, 0, 0, 0, 3, 3, 3, 3, -2, -1, -2, -2};
    const auto codes = round_to_nearest(scheme, weights, 16);
    ASSERT_TRUE(codes.ok()) << codes.status();
    for (size_t i = 0; i < weights.size(); ++i) {
      const size_t group = i / 4;
      const int zero = symmetric ? 8 : codes->zeros[group];
      const float back = static_cast<float>(codes->codes[i] - zero) * codes->scales[group];
      EXPECT_NEAR(back, weights[i], 0.6f * codes->scales[group]) << i;
    }
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      const std::vector<float> broken = {1, 2, 3, bad};
      const auto refused = round_to_nearest(scheme, broken, 4);
      ASSERT_FALSE(refused.ok());
      EXPECT_EQ(message_of(refused.status()),
                "output 0 has weights that are no numbers; it cannot be rounded to integers");
    }
  }
  ScaledScheme halves = {.group = 2, .scale_dtype = DType::kF16};
  EXPECT_FALSE(round_to_nearest(halves, std::vector<float>{1e7f, 1}, 2).ok());
}

}  // namespace
}  // namespace brisk
