// Parts of quantised matrices that do not fit together are refused by name; those that do are one
// matrix. That the matrices are the right ones, tests/golden checks.
#include "model/checkpoint/scaled_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

using Method = QuantizationConfig::Method;
using ::testing::HasSubstr;

class ScaledTensors : public ::testing::Test {
 protected:
  void add(const std::string& name, DType dtype, std::vector<int64_t> shape) {
    const auto bytes = bytes_of_shape(name, dtype, shape);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    memory_.push_back(std::make_unique<std::vector<std::byte>>(*bytes));
    ASSERT_TRUE(add_tensor(checkpoint_, name,
                           {.dtype = dtype, .shape = std::move(shape), .data = *memory_.back()})
                    .ok());
  }
  void set(const std::string& name, std::vector<int64_t> values) {
    for (size_t i = 0; i < values.size(); ++i) {
      const auto at = const_cast<std::byte*>(checkpoint_.find(name)->data.data());
      if (checkpoint_.find(name)->dtype == DType::kI64) {
        std::memcpy(at + 8 * i, &values[i], 8);
      } else {
        const auto value = static_cast<int32_t>(values[i]);
        std::memcpy(at + 4 * i, &value, 4);
      }
    }
  }
  std::string error(const QuantizationConfig& config) {
    return std::string(message_of(combine_scaled_tensors(config, checkpoint_)));
  }

  static QuantizationConfig scheme(Method method, WeightScheme scheme) {
    return {.method = method, .schemes = {scheme}, .zero_offset = 1};
  }
  const QuantizationConfig gptq_ = scheme(Method::kGptq, {.bits = 4, .group_inputs = 32});
  const QuantizationConfig awq_ = scheme(Method::kAwq, {.bits = 4, .group_inputs = 32});
  const QuantizationConfig packed_ =
      scheme(Method::kCompressedTensors, {.bits = 4, .group_inputs = 32});
  const QuantizationConfig int8_ = scheme(Method::kCompressedTensors, {.bits = 8});
  const QuantizationConfig fp8_ =
      scheme(Method::kFp8, {.is_float = true, .bits = 8, .group_outputs = 4, .group_inputs = 16});

  Checkpoint checkpoint_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> memory_;
};

TEST_F(ScaledTensors, BecomeOneMatrixAndLeaveTheRestAlone) {
  add("a.qweight", DType::kI32, {8, 16});
  add("a.qzeros", DType::kI32, {2, 2});
  add("a.scales", DType::kF16, {2, 16});
  add("a.g_idx", DType::kI32, {64});
  add("a.bias", DType::kF16, {16});
  add("b.weight", DType::kF16, {4, 4});
  set("a.g_idx", {1, 0});
  ASSERT_TRUE(combine_scaled_tensors(gptq_, checkpoint_).ok());
  ASSERT_EQ(checkpoint_.tensors.size(), 3u);
  const Tensor* matrix = checkpoint_.find("a.weight");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(matrix->shape, (std::vector<int64_t>{16, 64}));
  ASSERT_EQ(matrix->scaled->group_of.size(), 64u);
  EXPECT_EQ(matrix->scaled->group_of[0], 1);
  EXPECT_EQ(matrix->scaled->zero, 1);
  EXPECT_NE(checkpoint_.find("a.bias"), nullptr);
  EXPECT_EQ(checkpoint_.find("b.weight")->dtype, DType::kF16);
}

TEST_F(ScaledTensors, NameThePartThatIsMissingOrWrong) {
  add("a.qweight", DType::kI32, {8, 16});
  EXPECT_THAT(error(gptq_), HasSubstr("a: there is no tensor qzeros beside its codes"));
  add("a.qzeros", DType::kI32, {2, 3});
  EXPECT_THAT(error(gptq_), HasSubstr("a: qzeros has shape (2, 3), expected (2, 2)"));
}

TEST_F(ScaledTensors, RefuseScalesThatAreNoFloats) {
  add("a.qweight", DType::kI32, {8, 16});
  add("a.qzeros", DType::kI32, {2, 2});
  add("a.scales", DType::kI16, {2, 16});
  EXPECT_THAT(error(gptq_), HasSubstr("a: scales is i16, expected f16"));
}

TEST_F(ScaledTensors, RefuseGroupsThatThereAreNot) {
  add("a.qweight", DType::kI32, {8, 16});
  add("a.qzeros", DType::kI32, {2, 2});
  add("a.scales", DType::kF16, {2, 16});
  add("a.g_idx", DType::kI32, {64});
  set("a.g_idx", {0, 2});
  EXPECT_THAT(error(gptq_), HasSubstr("g_idx puts input 1 into group 2, but there are 2"));
  set("a.g_idx", {0, -1});
  EXPECT_THAT(error(gptq_), HasSubstr("g_idx puts input 1 into group -1"));
}

TEST_F(ScaledTensors, RefuseAwqWhoseScalesAreOfOtherOutputs) {
  add("a.qweight", DType::kI32, {64, 2});
  add("a.qzeros", DType::kI32, {2, 2});
  add("a.scales", DType::kF16, {2, 8});
  EXPECT_THAT(error(awq_), HasSubstr("scales has shape (2, 8), expected (2, 16)"));
}

TEST_F(ScaledTensors, RefuseShapesThatThePackedWordsDoNotHold) {
  add("a.weight_packed", DType::kI32, {16, 8});
  add("a.weight_scale", DType::kBF16, {16, 2});
  add("a.weight_shape", DType::kI64, {2});
  for (const auto& shape : std::vector<std::vector<int64_t>>{{15, 64}, {16, 0}, {16, 1 << 20}}) {
    set("a.weight_shape", shape);
    EXPECT_THAT(error(packed_), HasSubstr("but weight_packed has shape (16, 8)"));
  }
  set("a.weight_shape", {16, 40});  // 5 words would do
  EXPECT_THAT(error(packed_), HasSubstr("fit none of the schemes in config.json"));
  set("a.weight_shape", {16, 64});
  add("a.weight_zero_point", DType::kI32, {16, 2});
  EXPECT_THAT(error(packed_), HasSubstr("weight_zero_point, i32 of shape (16, 2), does not fit"));
}

TEST_F(ScaledTensors, RefuseScalesOfOtherBlocks) {
  add("a.weight", DType::kF8E4M3, {10, 40});
  EXPECT_THAT(error(fp8_), HasSubstr("a: there is no tensor weight_scale beside its codes"));
  add("a.weight_scale_inv", DType::kF32, {3, 2});
  EXPECT_THAT(error(fp8_), HasSubstr("scales of shape (3, 2) fit none of the schemes"));
}

TEST_F(ScaledTensors, TakeOneScaleForAllWhereverItIs) {
  add("a.weight", DType::kI8, {10, 40});
  add("a.weight_scale", DType::kF32, {});
  add("a.input_scale", DType::kF32, {1});
  ASSERT_TRUE(combine_scaled_tensors(int8_, checkpoint_).ok());
  EXPECT_EQ(checkpoint_.find("a.weight")->scaled->group_outputs, 10);
  EXPECT_EQ(checkpoint_.find("a.input_scale"), nullptr);
}

TEST_F(ScaledTensors, AreMissedWhereNoConfigurationNamesThem) {
  add("a.qweight", DType::kI32, {8, 16});
  EXPECT_THAT(error({}), HasSubstr("a.qweight is a GPTQ or AWQ matrix, but neither config.json"));
}

TEST_F(ScaledTensors, AreRefusedForGpt2) {
  checkpoint_.config.architecture = "gpt2";
  EXPECT_THAT(error(gptq_), HasSubstr("gpt2 with quantised weights"));
}

}  // namespace
}  // namespace brisk
