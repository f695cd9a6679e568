// The decoder that is trained: RMSNorm, rotation in halves, grouped-query attention, SwiGLU, the
// head tied to the embedding or not. The same function of its weights as the engine's llama.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.h"
#include "train/fake_quant.h"
#include "train/ops.h"
#include "train/packing.h"
#include "train/shape.h"
#include "train/weight.h"

namespace brisk::train {

// A batch as the model reads it.
struct ModelInput {
  at::Tensor tokens;  // int32 (sequences * length)
  BatchLayout layout;
};

struct LoraSettings {
  int64_t rank = 8;
  double alpha = 16;
};

// One thread at a time.
class LlamaModel {
 public:
  // Weights N(0, deviation^2), those that end a branch narrower by sqrt(2 layers); norms 1.
  static std::unique_ptr<LlamaModel> create(const DecoderShape& shape, ComputeType type,
                                            uint64_t seed, double deviation);

  // From a Hugging Face directory that holds a plain llama. `kept_tokens`: the ids of those that
  // become its vocabulary, in their new order; empty: all. Errors say what does not fit.
  // REQUIRES: the ids are below the checkpoint's vocabulary.
  static absl::StatusOr<std::unique_ptr<LlamaModel>> load(
      const Checkpoint& checkpoint, ComputeType type, std::span<const int64_t> kept_tokens = {});

  const DecoderShape& shape() const { return shape_; }
  ComputeType type() const { return type_; }

  // Every weight, the adapter's too, in an order of their own.
  std::vector<Weight*> weights();
  Weight& head() { return shape_.tied ? embedding_ : head_; }

  // Whether the model's own weights get gradients; adapters always do.
  void train_weights(bool train);
  // Adds low-rank adapters to all projections of the layers: A random, B zero.
  void add_adapters(const LoraSettings& settings, uint64_t seed);

  // From now on the model computes with rounded matrices, embedding and head included (null: with
  // the masters), and with `round_activations` products have inputs that are int8 in groups of 32,
  // as in the engine.
  void quantize_as(Rounding rounding, bool round_activations);
  // After every change of the masters.
  void refresh();
  // Matrices of layers keep the zeros that they have now.
  void keep_zeros();

  ModelInput input_of(const Batch& batch) const;
  const RotaryTable& rotary() const { return rotary_; }

  // The last hidden states, normed, in the compute type: (tokens, dim). `last_qkv`, where it is not
  // null, gets what the last layer's attention reads: (tokens, (heads + 2 kv_heads) head_dim).
  at::Tensor forward(const ModelInput& input, at::Tensor* last_qkv = nullptr);
  // f32 (tokens, vocab).
  at::Tensor logits(const ModelInput& input);

 private:
  struct Adapter {
    Weight a, b;
  };
  struct Layer {
    Weight attention_norm, qkv, output, ffn_norm, gate_up, down;
    // By part of the projection it adds to; empty without adapters.
    std::vector<Adapter> on_qkv, on_output, on_gate_up, on_down;
  };

  LlamaModel(const DecoderShape& shape, ComputeType type);
  void refresh(Weight& weight) const;
  at::Tensor project(const at::Tensor& x, Weight& weight, std::vector<Adapter>& adapters);
  void add_adapters_to(const Weight& weight, std::vector<Adapter>& adapters, uint64_t seed);

  const DecoderShape shape_;
  const ComputeType type_;
  RotaryTable rotary_;
  Weight embedding_, head_, final_norm_;
  std::vector<Layer> layers_;
  Rounding rounding_;
  bool round_activations_ = false;
  float adapter_scale_ = 0;
  int64_t adapter_rank_ = 0;
};

}  // namespace brisk::train
