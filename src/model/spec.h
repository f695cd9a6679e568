// A decoder-only transformer as data: everything model/decoder needs to know about an architecture.
// model/arch/*.cc fill it; nothing downstream asks which family a model belongs to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace brisk {

enum class NormKind : uint8_t {
  kRms,         // x / rms(x) * w            (Zhang, Sennrich 2019)
  kRmsPlusOne,  // x / rms(x) * (1 + w)      (gemma in its Hugging Face layout)
  kLayer,       // (x - mean) / std * w + b  (Ba, Kiros, Hinton 2016)
};

enum class Activation : uint8_t { kSilu, kGeluTanh, kRelu2 };

// Which pairs of a head's dimensions rotate together.
enum class RopeStyle : uint8_t {
  kNone,         // learned absolute positions instead
  kHalves,       // (i, i + rotary_dim / 2): Hugging Face
  kInterleaved,  // (2i, 2i + 1): llama2.c, and llama in GGUF
};

struct RopeSpec {
  RopeStyle style = RopeStyle::kHalves;
  int rotary_dim = 0;
  std::vector<double> inverse_frequencies;  // (rotary_dim / 2), scaling included
  float magnitude = 1;                      // multiplies sin and cos (longrope)
};

struct MoeSpec {
  int experts = 0;
  int experts_per_token = 0;
  int ffn_size = 0;               // of one expert
  int shared_ffn_size = 0;        // of the always-on expert; 0: none
  bool normalize_weights = true;  // the chosen experts' weights sum to 1
};

struct LayerSpec {
  int sliding_window = 0;  // tokens a query sees, itself included; 0: all
  int rope = 0;            // index into ModelSpec::ropes
  bool routed = false;     // experts (ModelSpec::moe) instead of a dense MLP
};

struct ModelSpec {
  std::string architecture;  // the row in model/arch/registry.cc
  int vocab_size = 0;
  int hidden_size = 0;
  int ffn_size = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int context_length = 0;

  NormKind norm = NormKind::kRms;
  float norm_eps = 1e-5f;
  Activation activation = Activation::kSilu;
  bool gated_mlp = true;        // down(act(gate(x)) * up(x)); otherwise down(act(up(x)))
  float attention_scale = 1;    // multiplies q.k
  float attention_softcap = 0;  // c * tanh(score / c); 0: none
  float final_softcap = 0;
  float embedding_scale = 1;
  bool learned_positions = false;     // gpt2
  bool quantize_activations = false;  // bitnet: int8 rows into every product
  int rank_max = 0;                   // of projections that are two factors; 0: none is
  MoeSpec moe;
  std::vector<RopeSpec> ropes;
  std::vector<LayerSpec> layers;
};

}  // namespace brisk
