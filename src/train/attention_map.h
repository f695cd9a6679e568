// Where attention looks, for teachers and students that compare it.
#pragma once

#include <ATen/core/Tensor.h>

#include "train/llama.h"

namespace brisk::train {

// The attention of a layer at some rows of a batch, averaged over its heads, so that models with
// other heads can be compared: probabilities f32 (rows, length of a sequence), zero where a row
// does not see. `qkv` is what the layer's attention reads (LlamaModel::forward), `rows` int64,
// among the batch's tokens. Differentiable in qkv; plain ATen, slower than attention() by far.
at::Tensor mean_attention(const at::Tensor& qkv, const BatchLayout& layout,
                          const RotaryTable& rotary, const at::Tensor& rows);

// Sum over rows of weight times KL(teacher || student), where both are mean_attention().
at::Tensor attention_divergence(const at::Tensor& teacher, const at::Tensor& student,
                                const at::Tensor& weights);

}  // namespace brisk::train
