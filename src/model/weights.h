// The tensors of a model under the names the decoder uses, as views into the checkpoint.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "compute/sys/memory.h"
#include "compute/tensor/tensor.h"

namespace brisk {

// y = x * weight^T + bias. Fused projections are slices of one tensor.
struct Linear {
  Tensor weight;            // (out, in)
  std::vector<float> bias;  // (out) or empty
};

struct NormWeights {
  std::vector<float> weight;  // empty: the architecture has no such norm, or it is unweighted
  std::vector<float> bias;
};

struct ExpertWeights {
  Linear gate, up, down;
};

struct LayerWeights {
  NormWeights attention_norm;
  Linear q, k, v, o;
  NormWeights q_norm, k_norm;       // (head_dim), per head: qwen3, gemma3
  NormWeights post_attention_norm;  // on the branch, before the residual is added: gemma 2, 3
  NormWeights ffn_norm;
  Linear gate, up, down;  // dense MLP; gate is empty where the MLP is not gated
  NormWeights post_ffn_norm;
  Linear router;  // (experts, hidden)
  std::vector<ExpertWeights> experts;
  ExpertWeights shared_expert;
  Linear shared_expert_gate;  // (1, hidden)
};

struct Weights {
  Tensor embedding;                 // (vocab, hidden)
  std::optional<Tensor> positions;  // (context, hidden): gpt2
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  Linear head;  // (vocab, hidden); the embedding itself where they are tied

  // What could not be used where it lies: transposed projections, panels.
  std::vector<std::unique_ptr<std::byte[]>> owned;
  std::optional<Pages> packed;
  bool reorders = false;  // some packed matrices take their inputs in another order
};

}  // namespace brisk
