// A model's hyper-parameters under one set of names, whatever file they came from. Readers fill it
// (GGUF metadata, Hugging Face config.json, llama2.c headers); model/arch turns it into a
// ModelSpec.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace brisk {

// Which naming and storage habits a checkpoint follows.
enum class Layout : uint8_t { kGguf, kHuggingFace, kLlama2c };

// bitllama2.c's BitNet normalises without an epsilon, on inputs whose mean square goes down to
// 1e-10; other layouts have one epsilon for these norms and the final one. Written there, this
// keeps the former what they are, and the final one's own epsilon gets a key of brisk's.
inline constexpr double kBitnetNormEps = 1e-12;

struct RopeScaling {
  enum class Kind : uint8_t { kNone, kLinear, kLlama3, kLongRope, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;
  double low_freq_factor = 1;   // llama3
  double high_freq_factor = 4;  // llama3
  int64_t original_context_length = 0;
  // longrope; (rotary_dim / 2). Empty in GGUF files: there they are the tensors rope_factors_*.
  std::vector<float> short_factors;
  std::vector<float> long_factors;
  // longrope, 0: sqrt(1 + ln(factor) / ln(original)); yarn, 0: 0.1 ln(factor) + 1.
  double attention_factor = 0;
  double beta_fast = 32;  // yarn
  double beta_slow = 1;   // yarn
};

// Zero, empty and nullopt mean: the checkpoint does not say.
struct ModelConfig {
  Layout layout = Layout::kGguf;
  std::string architecture;  // GGUF general.architecture or Hugging Face model_type
  std::string name;          // for people; may be empty

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_size = 0;
  int64_t context_length = 0;
  double norm_eps = 0;                  // of the final norm, where there are several
  std::string activation;               // Hugging Face's names: "silu", "gelu_pytorch_tanh", ...
  std::optional<bool> tied_embeddings;  // nullopt: tied when there is no output tensor
  bool attention_bias = false;

  double rope_theta = 0;
  double rope_theta_local = 0;  // gemma3: for sliding-window layers
  int64_t rotary_dim = 0;
  RopeScaling rope_scaling;

  int64_t sliding_window = 0;          // tokens a query sees, itself included; 0: all
  int64_t sliding_window_pattern = 0;  // every n-th layer sees everything
  std::vector<bool> layer_is_sliding;  // (layers) when the checkpoint lists them
  double attention_scale = 0;          // multiplies q.k; 0: 1/sqrt(head_dim)
  double attention_softcap = 0;
  double final_softcap = 0;

  int64_t experts = 0;
  int64_t experts_per_token = 0;
  int64_t expert_ffn_size = 0;
  int64_t shared_expert_ffn_size = 0;
  std::optional<bool> normalize_expert_weights;  // "norm_topk_prob"
  int64_t sparse_step = 1;                       // qwen-moe: every n-th layer has experts
  std::vector<int64_t> dense_layers;             // qwen-moe: "mlp_only_layers"

  int32_t bos_token = -1;
  std::vector<int32_t> eos_tokens;
};

// generation_config.json, or what a GGUF says: defaults that a request may override.
struct GenerationDefaults {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int> top_k;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
};

}  // namespace brisk
