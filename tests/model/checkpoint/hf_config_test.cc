#include "model/checkpoint/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"

namespace brisk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig config_of(std::string_view text) {
  const auto json = parse_json(text);
  EXPECT_TRUE(json.ok()) << json.status();
  const auto config = read_hf_config(*json);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig{};
}

std::string error_of(std::string_view text) {
  const auto json = parse_json(text);
  EXPECT_TRUE(json.ok()) << json.status();
  const auto config = read_hf_config(*json);
  return config.ok() ? "" : std::string(message_of(config.status()));
}

TEST(HfConfig, ReadsLlama3) {
  const ModelConfig config = config_of(R"({"model_type":"llama","vocab_size":128256,
    "hidden_size":2048,"num_hidden_layers":16,"num_attention_heads":32,"num_key_value_heads":8,
    "head_dim":64,"intermediate_size":8192,"max_position_embeddings":131072,"rms_norm_eps":1e-05,
    "hidden_act":"silu","tie_word_embeddings":true,"attention_bias":false,"rope_theta":500000.0,
    "bos_token_id":128000,"eos_token_id":[128001,128008,128009],
    "rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,
      "original_max_position_embeddings":8192,"rope_type":"llama3"}})");
  EXPECT_EQ(config.layout, Layout::kHuggingFace);
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.kv_heads, 8);
  EXPECT_EQ(config.rotary_dim, 64);
  EXPECT_EQ(config.tied_embeddings, true);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(config.rope_scaling.factor, 32);
  EXPECT_EQ(config.rope_scaling.original_context_length, 8192);
  EXPECT_EQ(config.bos_token, 128000);
  EXPECT_THAT(config.eos_tokens, ElementsAre(128001, 128008, 128009));
}

TEST(HfConfig, FillsInWhatFollows) {
  const ModelConfig config = config_of(R"({"model_type":"llama","hidden_size":64,
    "num_attention_heads":4,"num_key_value_heads":null,"sliding_window":null})");
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.sliding_window, 0);
  EXPECT_EQ(config.tied_embeddings, std::nullopt);
}

TEST(HfConfig, ReadsGpt2sOwnNames) {
  const ModelConfig config = config_of(R"({"model_type":"gpt2","n_embd":768,"n_layer":12,
    "n_head":12,"n_positions":1024,"n_inner":null,"layer_norm_epsilon":1e-05,"vocab_size":50257,
    "activation_function":"gelu_new"})");
  EXPECT_EQ(config.ffn_size, 3072);
  EXPECT_EQ(config.kv_heads, 12);
  EXPECT_EQ(config.context_length, 1024);
  EXPECT_EQ(config.activation, "gelu_new");
  EXPECT_TRUE(config.attention_bias);
}

TEST(HfConfig, ReadsQwen2sWindowOnlyWhenItIsUsed) {
  EXPECT_EQ(config_of(R"({"model_type":"qwen2","sliding_window":4096,
    "use_sliding_window":false,"num_hidden_layers":3})")
                .sliding_window,
            0);
  const ModelConfig used = config_of(R"({"model_type":"qwen2","sliding_window":4096,
    "use_sliding_window":true,"max_window_layers":2,"num_hidden_layers":3})");
  EXPECT_EQ(used.sliding_window, 4096);
  EXPECT_THAT(used.layer_is_sliding, ElementsAre(false, false, true));
}

TEST(HfConfig, ReadsExperts) {
  const ModelConfig qwen = config_of(R"({"model_type":"qwen2_moe","num_experts":60,
    "num_experts_per_tok":4,"moe_intermediate_size":1408,"shared_expert_intermediate_size":5632,
    "intermediate_size":5632,"norm_topk_prob":false,"decoder_sparse_step":2,
    "mlp_only_layers":[0,3]})");
  EXPECT_EQ(qwen.experts, 60);
  EXPECT_EQ(qwen.expert_ffn_size, 1408);
  EXPECT_EQ(qwen.shared_expert_ffn_size, 5632);
  EXPECT_EQ(qwen.normalize_expert_weights, false);
  EXPECT_EQ(qwen.sparse_step, 2);
  EXPECT_THAT(qwen.dense_layers, ElementsAre(0, 3));
  const ModelConfig mixtral = config_of(R"({"model_type":"mixtral","num_local_experts":8,
    "num_experts_per_tok":2,"intermediate_size":14336})");
  EXPECT_EQ(mixtral.expert_ffn_size, 14336);
  EXPECT_EQ(mixtral.normalize_expert_weights, true);
}

TEST(HfConfig, ReadsPhi3sLongRope) {
  const ModelConfig config = config_of(R"({"model_type":"phi3","hidden_size":3072,
    "num_attention_heads":32,"max_position_embeddings":131072,
    "original_max_position_embeddings":4096,"partial_rotary_factor":0.75,
    "rope_scaling":{"type":"longrope","short_factor":[1.0,1.1],"long_factor":[2.0,3.0]}})");
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLongRope);
  EXPECT_EQ(config.rope_scaling.factor, 32);
  EXPECT_EQ(config.rotary_dim, 72);
  EXPECT_THAT(config.rope_scaling.long_factors, ElementsAre(2.0f, 3.0f));
}

TEST(HfConfig, ReadsGemma2) {
  const ModelConfig config = config_of(R"({"model_type":"gemma2","hidden_size":2304,
    "head_dim":256,"num_attention_heads":8,"attn_logit_softcapping":50.0,
    "final_logit_softcapping":30.0,"query_pre_attn_scalar":256,"sliding_window":4096,
    "hidden_act":"gelu_pytorch_tanh","hidden_activation":"gelu_pytorch_tanh"})");
  EXPECT_EQ(config.attention_softcap, 50);
  EXPECT_EQ(config.final_softcap, 30);
  EXPECT_EQ(config.attention_scale, 1.0 / 16);
}

TEST(HfConfig, KnowsWhatNestedGemma3LeavesOut) {
  const ModelConfig config = config_of(R"({"model_type":"gemma3","eos_token_id":[1,106],
    "text_config":{"model_type":"gemma3_text","hidden_size":2560,"intermediate_size":10240,
      "num_hidden_layers":34,"sliding_window":1024,
      "rope_scaling":{"factor":8.0,"rope_type":"linear"}}})");
  EXPECT_EQ(config.architecture, "gemma3_text");
  EXPECT_EQ(config.heads, 8);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.sliding_window, 1024);
  EXPECT_EQ(config.sliding_window_pattern, 6);
  EXPECT_EQ(config.rope_theta, 1e6);
  EXPECT_EQ(config.rope_theta_local, 1e4);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_THAT(config.eos_tokens, ElementsAre(1, 106));
}

TEST(HfConfig, ReadsTheNewerRopeSpelling) {
  const ModelConfig config = config_of(R"({"model_type":"gemma3_text","layer_types":
    ["sliding_attention","full_attention"],"rope_parameters":{
      "full_attention":{"rope_theta":500000.0,"rope_type":"default"},
      "sliding_attention":{"rope_theta":20000.0,"rope_type":"default"}}})");
  EXPECT_EQ(config.rope_theta, 500000);
  EXPECT_EQ(config.rope_theta_local, 20000);
  EXPECT_THAT(config.layer_is_sliding, ElementsAre(true, false));
  EXPECT_EQ(config_of(R"({"model_type":"llama","rope_parameters":{"rope_theta":7.0}})").rope_theta,
            7);
}

TEST(HfConfig, RefusesWhatMakesNoSense) {
  EXPECT_THAT(error_of("[]"), HasSubstr("not an object"));
  EXPECT_THAT(error_of("{}"), HasSubstr("no \"model_type\""));
  EXPECT_THAT(error_of(R"({"model_type":5})"), HasSubstr("\"model_type\" should be a string"));
  EXPECT_THAT(error_of(R"({"model_type":"x","hidden_size":-3})"), HasSubstr("not -3"));
  EXPECT_THAT(error_of(R"({"model_type":"x","hidden_size":1e300})"), HasSubstr("hidden_size"));
  EXPECT_THAT(error_of(R"({"model_type":"x","hidden_size":"many"})"), HasSubstr("many"));
  EXPECT_THAT(error_of(R"({"model_type":"x","rope_scaling":[]})"), HasSubstr("rope_scaling"));
  EXPECT_THAT(error_of(R"({"model_type":"x","rope_scaling":{"rope_type":"spiral"}})"),
              HasSubstr("spiral"));
  EXPECT_THAT(error_of(R"({"model_type":"x","partial_rotary_factor":-1})"),
              HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(error_of(R"({"model_type":"x","eos_token_id":"two"})"), HasSubstr("eos_token_id"));
}

TEST(GenerationConfig, GivesDefaultsAndMoreEndTokens) {
  ModelConfig config;
  config.eos_tokens = {7};
  const auto json = parse_json(R"({"temperature":0.6,"top_p":0.95,"top_k":20,
    "repetition_penalty":null,"eos_token_id":[7,9]})");
  const auto defaults = read_generation_config(*json, config);
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->temperature, 0.6);
  EXPECT_EQ(defaults->top_k, 20);
  EXPECT_EQ(defaults->repetition_penalty, std::nullopt);
  EXPECT_THAT(config.eos_tokens, ElementsAre(7, 9));
}

}  // namespace
}  // namespace brisk
