// The loops of training that touch every value of a batch, fused so that each reads and writes its
// data once. Plain memory in, plain memory out: no libtorch here. Products of matrices are not
// among them (gemm.h).
//
// `void*` is an array of the compute type, f32 or bf16, that the table was made for; sums are f32.
// Every function does rows [begin, end) only, so that callers may share rows among threads, and
// what it computes for a row does not depend on the share.
#pragma once

#include <cstdint>

namespace brisk::train {

// sum = input + delta; output = sum / rms(sum) * weight.
struct AddNorm {
  const float* input = nullptr;   // (rows, width)
  const void* delta = nullptr;    // (rows, width), or null: nothing is added
  const float* weight = nullptr;  // (width)
  float* sum = nullptr;           // (rows, width)
  void* output = nullptr;         // (rows, width)
  float* inverse_rms = nullptr;   // (rows)
  int64_t width = 0;
  float eps = 0;
};

struct AddNormGrad {
  const float* sum = nullptr;          // as above
  const float* weight = nullptr;       // (width)
  const float* inverse_rms = nullptr;  // (rows)
  const float* sum_grad = nullptr;     // (rows, width), or null: zeros
  const void* output_grad = nullptr;   // (rows, width)
  float* input_grad = nullptr;         // (rows, width)
  void* delta_grad = nullptr;          // (rows, width), or null
  float* weight_grad = nullptr;        // (width): these rows' part is added
  int64_t width = 0;
};

// Sequences of one length in a batch, and how heads share keys. A row is a token.
struct HeadShape {
  int64_t sequence = 0;  // tokens of one
  int64_t heads = 0;     // of queries
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
};

// From (tokens, (heads + 2 kv_heads) head_dim) to what batched products want:
// q (sequences, kv_heads, heads / kv_heads, sequence, head_dim), k and v (sequences, kv_heads,
// sequence, head_dim), with q and k rotated in halves by their positions.
struct SplitHeads {
  HeadShape shape;
  void* qkv = nullptr;                 // read; the gradient writes it
  const int32_t* positions = nullptr;  // (tokens)
  const float* cos = nullptr;          // (positions, head_dim / 2)
  const float* sin = nullptr;
  void* q = nullptr;
  void* k = nullptr;
  void* v = nullptr;
};

// From q's layout to (tokens, heads * head_dim), or back.
struct MergeHeads {
  HeadShape shape;
  void* apart = nullptr;
  void* merged = nullptr;
};

// Row r of `scores` is a query's, in q's layout. A query sees itself and what came before it in its
// document; everything else becomes 0.
struct Softmax {
  HeadShape shape;
  void* scores = nullptr;           // (queries, sequence); becomes probabilities
  const int32_t* starts = nullptr;  // (tokens): where in its sequence a token's document begins
  float scale = 1;
};

struct SoftmaxGrad {
  HeadShape shape;
  const void* probabilities = nullptr;
  void* grad = nullptr;  // of the probabilities; becomes that of the scores
  const int32_t* starts = nullptr;
  float scale = 1;
};

// silu(gate) * up, where a row of `gate_up` is (gate, up).
struct SwiGlu {
  const void* gate_up = nullptr;      // (rows, 2 width)
  void* output = nullptr;             // (rows, width)
  const void* output_grad = nullptr;  // the gradient's
  void* gate_up_grad = nullptr;
  int64_t width = 0;
};

// What a batch is to learn at one position: the token that came next, and, with a teacher, its
// distribution: weight * ((1 - alpha) CE + alpha T^2 KL(teacher || student at temperature T)).
struct TokenLoss {
  void* logits = nullptr;                // (rows, vocab); becomes the loss's gradient
  const void* teacher_logits = nullptr;  // (rows, vocab), or null
  const int32_t* targets = nullptr;      // (rows)
  const float* weights = nullptr;        // (rows)
  float* losses = nullptr;               // (rows): cross-entropy in nats, unweighted
  float* divergences = nullptr;          // (rows): KL in nats at the temperature; with a teacher
  int64_t vocab = 0;
  float alpha = 0;
  float temperature = 1;
};

// One step of AdamW (Loshchilov, Hutter 2019) on values [begin, end).
struct AdamWStep {
  float* master = nullptr;
  const float* grad = nullptr;
  float* first = nullptr;    // moving average of gradients
  float* second = nullptr;   // and of their squares
  float* average = nullptr;  // moving average of weights, or null
  float learning_rate = 0;
  float decay = 0;  // learning_rate * weight decay
  float beta1 = 0, beta2 = 0, eps = 0;
  float correction1 = 1, correction2 = 1;  // 1 / (1 - beta^step)
  float grad_scale = 1;                    // clipping
  float average_decay = 0;
};

// Values in groups of 32, each rounded to int8 with the scale max|x| / 127: what the engine does to
// activations before a product with quantised weights (docs/decisions/0001).
struct RoundGroups {
  const void* input = nullptr;
  void* output = nullptr;
};

struct Kernels {
  void (*add_norm)(const AddNorm&, int64_t begin, int64_t end);
  void (*add_norm_grad)(const AddNormGrad&, int64_t begin, int64_t end);
  void (*split_heads)(const SplitHeads&, int64_t begin, int64_t end);
  void (*split_heads_grad)(const SplitHeads&, int64_t begin, int64_t end);
  void (*merge_heads)(const MergeHeads&, int64_t begin, int64_t end);
  void (*merge_heads_grad)(const MergeHeads&, int64_t begin, int64_t end);
  void (*softmax)(const Softmax&, int64_t begin, int64_t end);
  void (*softmax_grad)(const SoftmaxGrad&, int64_t begin, int64_t end);
  void (*swiglu)(const SwiGlu&, int64_t begin, int64_t end);
  void (*swiglu_grad)(const SwiGlu&, int64_t begin, int64_t end);
  void (*token_loss)(const TokenLoss&, int64_t begin, int64_t end);
  void (*adamw)(const AdamWStep&, int64_t begin, int64_t end);
  void (*round_groups)(const RoundGroups&, int64_t begin, int64_t end);  // groups of 32
};

enum class ComputeType : uint8_t { kF32, kBF16 };

// The best table for this machine.
const Kernels& kernels_for(ComputeType type);

// Every table there is, the portable ones first; for tests.
const Kernels& portable_kernels(ComputeType type);
const Kernels& avx512_kernels(ComputeType type);
bool has_avx512();
// Whether the CPU multiplies bf16 (twice as fast as f32 where it does).
bool has_fast_bf16();

}  // namespace brisk::train
