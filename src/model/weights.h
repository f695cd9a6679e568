// The tensors of a model under the names the decoder uses, as views into the checkpoint.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "compute/sys/memory.h"
#include "compute/tensor/tensor.h"

namespace brisk {

inline constexpr int kSharedInputMax = 3;  // products of one input: q, k and v

// y = x * weight^T + bias, or where there are two factors (low_rank.h) (x * reduce^T) * weight^T +
// bias. Fused projections are slices of one tensor, and share `reduce`.
struct Linear {
  Tensor weight;                   // (out, in), or (out, rank)
  std::vector<float> bias;         // (out) or empty
  std::shared_ptr<Linear> reduce;  // (rank, in), without a bias; null: there are no factors
  int slot = 0;  // below kSharedInputMax; products of one input that share it share `reduce`
};

// Calls body(matrix) for what products read: reductions, shared ones once, then weights. `linears`:
// those that share a reduction stand together; some may be empty.
template <typename L, typename Body>
void for_each_matrix(std::initializer_list<L*> linears, const Body& body) {
  L* last = nullptr;
  for (L* linear : linears) {
    L* const reduce = linear->reduce.get();
    if (reduce != nullptr && reduce != last) body(*reduce);
    if (reduce != nullptr) last = reduce;
  }
  for (L* linear : linears) body(*linear);
}

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
