#include "model/lora/peft_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace brisk {
namespace {

PeftConfig config_with(const std::string& fields) {
  const auto json =
      parse_ordered_json(R"({"peft_type":"LORA","r":8,"lora_alpha":16)" + fields + "}");
  return read_peft_config(json.value()).value();
}

TEST(PeftConfig, ScalesByAlphaOverRank) {
  EXPECT_EQ(config_with("").scale_of("model.layers.0.self_attn.q_proj", 8), 2);
  EXPECT_EQ(config_with(R"(,"use_rslora":true)").scale_of("x", 4), 8);
}

TEST(PeftConfig, TheFirstPatternThatFitsCounts) {
  const PeftConfig config = config_with(
      R"(,"alpha_pattern":{"layers.1.mlp.up_proj":80,"up_proj":8,"q_proj":24,"a.q_proj":1})");
  EXPECT_EQ(config.scale_of("model.layers.1.mlp.up_proj", 8), 10);
  EXPECT_EQ(config.scale_of("model.layers.11.mlp.up_proj", 8), 1);
  EXPECT_EQ(config.scale_of("up_proj", 8), 1);
  EXPECT_EQ(config.scale_of("model.a.q_proj", 8), 3);
  EXPECT_EQ(config.scale_of("model.aq_proj", 8), 2) << "a pattern ends at a whole name";
}

}  // namespace
}  // namespace brisk
