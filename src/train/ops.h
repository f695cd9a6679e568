// The differentiable operations of a decoder, each fused into one step of autograd. Gradients of
// weights do not go through autograd: they are added to Weight::grad as they arise, so that weights
// are converted to the compute type once a step, and gradients add up over micro-batches in f32.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "train/kernels.h"
#include "train/weight.h"

namespace brisk::train {

// Tokens of a batch in sequences of equal length. Tensors are int32 (tokens).
struct BatchLayout {
  HeadShape heads;
  at::Tensor positions;  // within their document
  at::Tensor starts;     // where in its sequence a token's document begins
};

// cos and sin of the rotation, f32 (positions, head_dim / 2).
struct RotaryTable {
  at::Tensor cos, sin;
};

at::ScalarType scalar_type(ComputeType type);
ComputeType compute_type(const at::Tensor& tensor);

// (tokens) int32 -> (tokens, width) f32.
at::Tensor embed(const at::Tensor& tokens, Weight& weight);

// Adds `delta` (undefined: nothing) to the residual stream `x` and normalises the sum: {x, normed}.
// x is f32 (rows, width); delta and the result are of the type `type`.
std::pair<at::Tensor, at::Tensor> add_norm(const at::Tensor& x, const at::Tensor& delta,
                                           Weight& weight, float eps, ComputeType type);

// x W^T. REQUIRES: x is of the type of weight.compute.
at::Tensor linear(const at::Tensor& x, Weight& weight);

// Causal attention within documents: (tokens, (heads + 2 kv_heads) head_dim) -> (tokens, heads *
// head_dim).
at::Tensor attention(const at::Tensor& qkv, const BatchLayout& layout, const RotaryTable& rotary);

// (rows, 2 width) -> (rows, width).
at::Tensor swiglu(const at::Tensor& gate_up);

// x rounded to int8 in groups of 32 as the engine does it; the gradient passes straight through.
at::Tensor round_activations(const at::Tensor& x);

// What a batch is to learn. Rows are those of the hidden states given beside it.
struct Targets {
  at::Tensor tokens;   // int32 (rows)
  at::Tensor weights;  // f32 (rows): of each row in the loss
  // The teacher's distribution: its last hidden states and its head. Undefined: no teacher.
  at::Tensor teacher_hidden = {};
  at::Tensor teacher_head = {};
  // Or its best tokens: logits of all others are far below. f32 and int32 (rows, k).
  at::Tensor top_logits = {};
  at::Tensor top_tokens = {};
  float alpha = 0;
  float temperature = 1;
};

struct LossSums {
  double cross_entropy = 0;  // nats, weighted
  double divergence = 0;
};

// The loss of hidden states (rows, width) through the head, computed in chunks of rows so that the
// logits of a batch never exist at once; their gradient is known when it returns. Sums are added to
// `sums`. The result is a scalar whose gradient must be 1.
at::Tensor output_loss(const at::Tensor& hidden, Weight& head, const Targets& targets,
                       LossSums& sums);

}  // namespace brisk::train
