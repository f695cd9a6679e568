// From the factors of a rotation back to the parameters that made them.
#include "model/convert/rope_factors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace brisk {
namespace {

ModelConfig config_of(int64_t rotary_dim, double theta) {
  ModelConfig config;
  config.rotary_dim = rotary_dim;
  config.rope_theta = theta;
  return config;
}

RopeScaling llama3(double factor, double low, double high, int64_t original) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.factor = factor;
  scaling.low_freq_factor = low;
  scaling.high_freq_factor = high;
  scaling.original_context_length = original;
  return scaling;
}

struct Published {
  const char* name;
  int64_t rotary_dim;
  double theta;
  RopeScaling scaling;
};

void PrintTo(const Published& model, std::ostream* out) { *out << model.name; }

class RopeFactors : public testing::TestWithParam<Published> {};

TEST_P(RopeFactors, GiveBackTheParametersTheyWereMadeOf) {
  const Published& model = GetParam();
  ModelConfig config = config_of(model.rotary_dim, model.theta);
  config.rope_scaling = model.scaling;
  const std::vector<float> factors = llama3_rope_factors(config);
  const auto found = rope_scaling_of(config_of(model.rotary_dim, model.theta), factors);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(found->factor, model.scaling.factor);
  EXPECT_EQ(found->low_freq_factor, model.scaling.low_freq_factor);
  EXPECT_EQ(found->high_freq_factor, model.scaling.high_freq_factor);
  EXPECT_EQ(found->original_context_length, model.scaling.original_context_length);
}

INSTANTIATE_TEST_SUITE_P(Models, RopeFactors,
                         testing::Values(Published{"Llama 3.1", 128, 5e5, llama3(8, 1, 4, 8192)},
                                         Published{"Llama 3.2 1B", 64, 5e5, llama3(32, 1, 4, 8192)},
                                         Published{"short", 64, 1e4, llama3(4, 1, 4, 2048)},
                                         Published{"wide band", 128, 1e6, llama3(16, 1, 8, 4096)},
                                         Published{"few pairs", 16, 5e5, llama3(8, 1, 4, 64)}));

// Original, low and high factor mean the same when all are multiplied by a number.
TEST(RopeFactors, GiveTheSameRotationWhereParametersAreAmbiguous) {
  ModelConfig config = config_of(128, 5e5);
  config.rope_scaling = llama3(8, 2, 10, 16384);
  const std::vector<float> factors = llama3_rope_factors(config);
  const auto found = rope_scaling_of(config_of(128, 5e5), factors);
  ASSERT_TRUE(found.has_value());
  config.rope_scaling = *found;
  const std::vector<float> again = llama3_rope_factors(config);
  for (size_t i = 0; i < factors.size(); ++i) EXPECT_NEAR(again[i], factors[i], 1e-4) << i;
}

TEST(RopeFactors, AllEqualAreALinearScalingOrNone) {
  const ModelConfig config = config_of(16, 1e4);
  const auto linear = rope_scaling_of(config, std::vector<float>(8, 4.0f));
  ASSERT_TRUE(linear.has_value());
  EXPECT_EQ(linear->kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(linear->factor, 4);
  const auto none = rope_scaling_of(config, std::vector<float>(8, 1.0f));
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->kind, RopeScaling::Kind::kNone);
}

TEST(RopeFactors, OfNoKnownRuleAreNotForcedIntoOne) {
  const ModelConfig config = config_of(16, 1e4);
  const float nan = std::nanf("");
  const std::vector<std::vector<float>> strange = {
      {},
      {1, 2},
      {1, 1, 1, 3, 2, 8, 8, 8},
      {8, 8, 8, 1, 1, 1, 1, 1},
      {1, 1, 0, 1, 1, 8, 8, 8},
      {1, 1, -1, 1, 1, 8, 8, 8},
      {1, 1, nan, 1, 1, 8, 8, 8},
      std::vector<float>(8, nan),
      {1, 1, 1, 1, 1, 8, 8, INFINITY},
      {1.0f, 1.3f, 1.7f, 2.2f, 2.9f, 3.7f, 4.9f, 6.4f},
  };
  for (const auto& factors : strange) EXPECT_FALSE(rope_scaling_of(config, factors).has_value());
}

}  // namespace
}  // namespace brisk
