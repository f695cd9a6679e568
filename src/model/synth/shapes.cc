#include "model/synth/shapes.h"

#include "base/status.h"

namespace brisk {
namespace {

ModelConfig llama(int64_t hidden, int64_t layers, int64_t heads, int64_t kv_heads, int64_t ffn,
                  int64_t vocab, int64_t context) {
  ModelConfig config;
  config.architecture = "llama";
  config.hidden_size = hidden;
  config.layers = layers;
  config.heads = heads;
  config.kv_heads = kv_heads;
  config.head_dim = hidden / heads;
  config.rotary_dim = config.head_dim;
  config.ffn_size = ffn;
  config.vocab_size = vocab;
  config.context_length = context;
  config.norm_eps = 1e-5;
  config.rope_theta = 10000;
  config.activation = "silu";
  config.tied_embeddings = false;
  return config;
}

ModelConfig stories15m() {
  ModelConfig config = llama(288, 6, 6, 6, 768, 32000, 256);
  config.tied_embeddings = true;
  return config;
}

ModelConfig llama_3_8b() {
  ModelConfig config = llama(4096, 32, 32, 8, 14336, 128256, 8192);
  config.rope_theta = 500000;
  return config;
}

ModelConfig llama_3_2_1b() {
  ModelConfig config = llama(2048, 16, 32, 8, 8192, 128256, 131072);
  config.rope_theta = 500000;
  config.tied_embeddings = true;
  config.rope_scaling.kind = RopeScaling::Kind::kLlama3;
  config.rope_scaling.factor = 32;
  config.rope_scaling.low_freq_factor = 1;
  config.rope_scaling.high_freq_factor = 4;
  config.rope_scaling.original_context_length = 8192;
  return config;
}

ModelConfig qwen3_0_6b() {
  ModelConfig config = llama(1024, 28, 16, 8, 3072, 151936, 40960);
  config.architecture = "qwen3";
  config.head_dim = 128;
  config.rotary_dim = 128;
  config.rope_theta = 1e6;
  config.norm_eps = 1e-6;
  config.tied_embeddings = true;
  return config;
}

// Mixtral's structure at a size that every machine can run.
ModelConfig mixtral_tiny() {
  ModelConfig config = llama(512, 8, 8, 2, 1024, 32000, 4096);
  config.rope_theta = 1e6;
  config.experts = 8;
  config.experts_per_token = 2;
  config.expert_ffn_size = 1024;
  return config;
}

// Adds the tensors of one layer after another.
class Plan {
 public:
  explicit Plan(const ModelConfig& config) : config_(config) {}

  void layer(int64_t index) {
    layer_ = index;
    const int64_t hidden = config_.hidden_size;
    const int64_t queries = config_.heads * config_.head_dim;
    const int64_t keys = config_.kv_heads * config_.head_dim;
    add("attn_norm", {hidden});
    add("attn_q", {queries, hidden});
    add("attn_k", {keys, hidden});
    add("attn_v", {keys, hidden});
    add("attn_output", {hidden, queries});
    if (config_.architecture == "qwen3") {
      add("attn_q_norm", {config_.head_dim});
      add("attn_k_norm", {config_.head_dim});
    }
    add("ffn_norm", {hidden});
    if (config_.experts == 0) {
      add("ffn_gate", {config_.ffn_size, hidden});
      add("ffn_up", {config_.ffn_size, hidden});
      add("ffn_down", {hidden, config_.ffn_size});
      return;
    }
    add("ffn_gate_inp", {config_.experts, hidden});
    add("ffn_gate_exps", {config_.experts, config_.expert_ffn_size, hidden});
    add("ffn_up_exps", {config_.experts, config_.expert_ffn_size, hidden});
    add("ffn_down_exps", {config_.experts, hidden, config_.expert_ffn_size});
  }

  void top(std::string_view name, std::vector<int64_t> shape) {
    tensors_.push_back(
        {.name = std::string(name), .dtype = DType::kF32, .shape = std::move(shape)});
  }

  std::vector<TensorPlan> take() && { return std::move(tensors_); }

 private:
  void add(std::string_view role, std::vector<int64_t> shape) {
    top(fmt::format("blk.{}.{}.weight", layer_, role), std::move(shape));
  }

  const ModelConfig& config_;
  int64_t layer_ = 0;
  std::vector<TensorPlan> tensors_;
};

}  // namespace

std::span<const Shape> shapes() {
  static const std::vector<Shape> kShapes = {
      {"stories15m", stories15m(), VocabularyStyle::kLlama2},
      {"tinyllama-1.1b", llama(2048, 22, 32, 4, 5632, 32000, 2048), VocabularyStyle::kLlama2},
      {"llama-3.2-1b", llama_3_2_1b(), VocabularyStyle::kLlama3},
      {"llama-2-7b", llama(4096, 32, 32, 32, 11008, 32000, 4096), VocabularyStyle::kLlama2},
      {"llama-3-8b", llama_3_8b(), VocabularyStyle::kLlama3},
      {"qwen3-0.6b", qwen3_0_6b(), VocabularyStyle::kQwen},
      {"mixtral-tiny", mixtral_tiny(), VocabularyStyle::kLlama2},
  };
  return kShapes;
}

absl::StatusOr<Shape> find_shape(std::string_view name) {
  std::string known;
  for (const Shape& shape : shapes()) {
    if (shape.name == name) return shape;
    known += known.empty() ? std::string(shape.name) : fmt::format(", {}", shape.name);
  }
  return not_found("there is no shape \"{}\"; there are: {}", name, known);
}

std::vector<TensorPlan> tensors_of(const ModelConfig& config) {
  Plan plan(config);
  plan.top("token_embd.weight", {config.vocab_size, config.hidden_size});
  if (config.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
    plan.top("rope_freqs.weight", {config.rotary_dim / 2});
  }
  for (int64_t i = 0; i < config.layers; ++i) plan.layer(i);
  plan.top("output_norm.weight", {config.hidden_size});
  if (config.tied_embeddings != true) {
    plan.top("output.weight", {config.vocab_size, config.hidden_size});
  }
  return std::move(plan).take();
}

}  // namespace brisk
