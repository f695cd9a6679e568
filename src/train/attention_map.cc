#include "train/attention_map.h"

#include <ATen/ATen.h>

#include <cmath>

namespace brisk::train {
namespace {

constexpr double kLeast = 1e-6;  // keeps logarithms finite where nothing is seen

// (tokens, heads, head_dim), rotated in halves.
at::Tensor rotate(const at::Tensor& heads, const BatchLayout& layout, const RotaryTable& rotary) {
  const at::Tensor positions = layout.positions.to(at::kLong);
  const at::Tensor cos = rotary.cos.index_select(0, positions).unsqueeze(1);
  const at::Tensor sin = rotary.sin.index_select(0, positions).unsqueeze(1);
  const std::vector<at::Tensor> halves = heads.chunk(2, 2);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, 2);
}

}  // namespace

at::Tensor mean_attention(const at::Tensor& qkv, const BatchLayout& layout,
                          const RotaryTable& rotary, const at::Tensor& rows) {
  const HeadShape& shape = layout.heads;
  const int64_t tokens = qkv.size(0), length = shape.sequence, size = shape.head_dim;
  const at::Tensor heads =
      qkv.to(at::kFloat).view({tokens, shape.heads + 2 * shape.kv_heads, size});
  const at::Tensor q = rotate(heads.narrow(1, 0, shape.heads), layout, rotary);
  const at::Tensor k = rotate(heads.narrow(1, shape.heads, shape.kv_heads), layout, rotary)
                           .repeat_interleave(shape.heads / shape.kv_heads, 1);
  // (sequences, heads, length, head_dim)
  const auto stacked = [&](const at::Tensor& x) {
    return x.view({tokens / length, length, shape.heads, size}).transpose(1, 2);
  };
  const at::Tensor scores =
      at::matmul(stacked(q), stacked(k).transpose(2, 3)) / std::sqrt(static_cast<double>(size));
  const at::Tensor places = at::arange(length, at::kInt);
  const at::Tensor starts = layout.starts.view({tokens / length, 1, length, 1});
  const at::Tensor unseen = places.gt(places.unsqueeze(1))
                                .logical_or(places.lt(starts));  // (sequences, 1, length, length)
  const at::Tensor seen = scores.masked_fill(unseen, -1e30).softmax(3).mean(1);
  return seen.reshape({tokens, length}).index_select(0, rows);
}

at::Tensor attention_divergence(const at::Tensor& teacher, const at::Tensor& student,
                                const at::Tensor& weights) {
  const at::Tensor ratio = teacher.clamp_min(kLeast).log() - student.clamp_min(kLeast).log();
  return (teacher * ratio).sum(1).mul(weights).sum();
}

}  // namespace brisk::train
