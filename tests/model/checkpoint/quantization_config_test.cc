// What config.json says of quantised weights: what is understood, and how the rest is refused.
#include "model/checkpoint/quantization_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

using Method = QuantizationConfig::Method;
using ::testing::HasSubstr;

absl::StatusOr<QuantizationConfig> read(std::string_view quantization) {
  return read_quantization_config(
      parse_json("{\"quantization_config\":" + std::string(quantization) + "}").value());
}

std::string error(std::string_view quantization) {
  const auto config = read(quantization);
  return config.ok() ? "" : std::string(message_of(config.status()));
}

// A config group of compressed-tensors.
std::string group(std::string_view format, std::string_view weights) {
  return R"({"quant_method":"compressed-tensors","format":")" + std::string(format) +
         R"(","config_groups":{"group_0":{"weights":)" + std::string(weights) + "}}}";
}

TEST(QuantizationConfig, IsNoneWithoutOneAndForBitNet) {
  EXPECT_EQ(read_quantization_config(Json::object())->method, Method::kNone);
  EXPECT_EQ(read("null")->method, Method::kNone);
  EXPECT_EQ(read(R"({"quant_method":"bitnet","linear_class":"autobitlinear"})")->method,
            Method::kNone);
  EXPECT_EQ(read(R"({"quant_method":"compressed-tensors","format":"dense"})")->method,
            Method::kNone);
}

TEST(QuantizationConfig, KnowsBothVersionsOfGptq) {
  const auto first = read(R"({"quant_method":"gptq","bits":4,"group_size":128,"desc_act":true})");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->method, Method::kGptq);
  EXPECT_EQ(first->schemes[0].bits, 4);
  EXPECT_EQ(first->schemes[0].group_inputs, 128);
  EXPECT_EQ(first->zero_offset, 1);
  const auto second =
      read(R"({"quant_method":"gptq","bits":3,"group_size":-1,"checkpoint_format":"gptq_v2"})");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->schemes[0].group_inputs, 0);
  EXPECT_EQ(second->zero_offset, 0);
  const auto early = read_quantize_config(parse_json(R"({"bits":4,"group_size":64})").value());
  ASSERT_TRUE(early.ok()) << early.status();
  EXPECT_EQ(early->method, Method::kGptq);
}

TEST(QuantizationConfig, ReadsWhatSharesAScale) {
  const auto scheme = [](std::string_view format, std::string_view weights) {
    const auto config = read(group(format, weights));
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? config->schemes.front() : WeightScheme();
  };
  const WeightScheme groups =
      scheme("pack-quantized", R"({"num_bits":4,"type":"int","strategy":"group","group_size":64})");
  EXPECT_EQ(std::pair(groups.group_outputs, groups.group_inputs), std::pair(1l, 64l));
  const WeightScheme channels =
      scheme("int-quantized", R"({"num_bits":8,"type":"int","strategy":"channel"})");
  EXPECT_EQ(std::pair(channels.group_outputs, channels.group_inputs), std::pair(1l, 0l));
  const WeightScheme blocks =
      scheme("float-quantized",
             R"({"num_bits":8,"type":"float","strategy":"block","block_structure":[128,64]})");
  EXPECT_TRUE(blocks.is_float);
  EXPECT_EQ(std::pair(blocks.group_outputs, blocks.group_inputs), std::pair(128l, 64l));
  const auto fp8 = read(R"({"quant_method":"fp8","weight_block_size":[128,128]})");
  ASSERT_TRUE(fp8.ok()) << fp8.status();
  EXPECT_EQ(fp8->schemes[0].group_outputs, 128);
  const auto early = read_quantization_config(
      parse_json(R"({"compression_config":)" +
                 group("int-quantized", R"({"num_bits":8,"strategy":"tensor"})") + "}")
          .value());
  ASSERT_TRUE(early.ok()) << early.status();
  EXPECT_EQ(early->schemes[0].group_outputs, 0);
}

TEST(QuantizationConfig, SaysWhatItDoesNotReadAndWhatItDoes) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"7", "it should be an object"},
      {"{}", "there is no \"quant_method\""},
      {R"({"quant_method":"bitsandbytes"})", "the quant_method \"bitsandbytes\"; brisk reads gptq"},
      {R"({"quant_method":7})", "\"quant_method\" should be a string, not 7"},
      {R"({"quant_method":"gptq"})", "there is no \"bits\""},
      {R"({"quant_method":"gptq","bits":5})", "weights of 5 bits"},
      {R"({"quant_method":"gptq","bits":"4"})", "should be a count or -1"},
      {R"({"quant_method":"gptq","bits":4,"group_size":0})", "\"group_size\" is 0"},
      {R"({"quant_method":"gptq","bits":4,"checkpoint_format":"marlin"})",
       "\"marlin\"; brisk reads gptq and gptq_v2"},
      {R"({"quant_method":"awq","bits":4,"version":"gemv"})", "\"gemv\"; brisk reads gemm"},
      {R"({"quant_method":"awq","bits":8})", "weights of 8 bits"},
      {R"({"quant_method":"awq","bits":4,"zero_point":false})", "without zero points"},
      {R"({"quant_method":"fp8","weight_block_size":[128]})", "a block of weights is two sizes"},
      {R"({"quant_method":"fp8","weight_block_size":[0,128]})", "a block of weights is two sizes"},
      {R"({"quant_method":"fp8","fmt":"e5m2"})", "\"e5m2\"; brisk reads e4m3"},
      {R"({"quant_method":"compressed-tensors","format":"pack-quantized"})",
       "there are no \"config_groups\""},
      {group("marlin-24", R"({"num_bits":4})"), "group_0: the format \"marlin-24\""},
      {group("nvfp4-pack-quantized", R"({"num_bits":4,"type":"float"})"), "weights of 4 bits"},
      {group("int-quantized", R"({"num_bits":4})"), "\"int-quantized\" with int4"},
      {group("float-quantized", R"({"num_bits":8,"type":"int"})"), "\"float-quantized\" with int8"},
      {group("pack-quantized", R"({"num_bits":4,"strategy":"group"})"), "without \"group_size\""},
      {group("pack-quantized", R"({"num_bits":4,"strategy":"token"})"), "for each \"token\""},
      {R"({"quant_method":"compressed-tensors","format":"x","sparsity_config":)"
       R"({"format":"sparse-24-bitmask"}})",
       "sparse weights in the format \"sparse-24-bitmask\""},
  };
  for (const auto& [json, words] : wrong) {
    EXPECT_THAT(error(json), HasSubstr("config.json: quantization_config: ")) << json;
    EXPECT_THAT(error(json), HasSubstr(words)) << json;
  }
}

}  // namespace
}  // namespace brisk
