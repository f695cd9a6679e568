#include "train/importance.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "base/status.h"
#include "train/objective.h"

namespace brisk::train {
namespace {

// Of each input of the weight: sum over outputs of weight * gradient.
at::Tensor input_gates(const Weight& weight) {
  return weight.seen.mul(weight.grad).sum(0, /*keepdim=*/false, at::kDouble);
}

std::vector<double> values_of(const at::Tensor& row) {
  const at::Tensor dense = row.contiguous();
  return {dense.data_ptr<double>(), dense.data_ptr<double>() + dense.numel()};
}

std::vector<std::vector<double>> rows_of(const at::Tensor& table) {
  std::vector<std::vector<double>> rows;
  for (int64_t row = 0; row < table.size(0); ++row) rows.push_back(values_of(table[row]));
  return rows;
}

}  // namespace

GateGradients gate_gradients(LlamaModel& model) {
  const DecoderShape& shape = model.shape();
  std::vector<at::Tensor> neurons, heads;
  at::Tensor channels = at::zeros({shape.dim}, at::kDouble);
  for (const Weight* weight : model.weights()) {
    const std::string& name = weight->parts.front().name;
    if (name.ends_with("down_proj.weight")) neurons.push_back(input_gates(*weight));
    if (name.ends_with("o_proj.weight")) {
      heads.push_back(input_gates(*weight).view({shape.kv_heads, -1}).sum(1));
    }
    if (name.ends_with("norm.weight")) channels += weight->seen.mul(weight->grad);
  }
  const at::Tensor all_neurons = at::stack(neurons), all_heads = at::stack(heads);
  return {.neurons = all_neurons,
          .kv_heads = all_heads,
          .channels = channels,
          .layers = all_neurons.sum(1) + all_heads.sum(1)};
}

absl::StatusOr<StructureImportance> taylor_importance(
    LlamaModel& model, PackedStream& stream, int64_t sequences,
    const std::function<void(int64_t done, int64_t sequences)>& on_progress) {
  const DecoderShape& shape = model.shape();
  GateGradients squares = {.neurons = at::zeros({shape.layers, shape.ffn}, at::kDouble),
                           .kv_heads = at::zeros({shape.layers, shape.kv_heads}, at::kDouble),
                           .channels = at::zeros({shape.dim}, at::kDouble),
                           .layers = at::zeros({shape.layers}, at::kDouble)};
  NextToken objective;
  int64_t counted = 0;
  for (int64_t done = 0; done < sequences; ++done) {
    const Batch batch = stream.next(1);
    if (batch.learned() > 0) {
      for (Weight* weight : model.weights()) weight->grad.zero_();
      LossSums sums;
      objective.learn(model, batch, batch.learned(), sums);
      if (!std::isfinite(sums.cross_entropy)) {
        return invalid_input("the loss is not a number: look for broken weights");
      }
      const GateGradients gradients = gate_gradients(model);
      squares.neurons += gradients.neurons.square();
      squares.kv_heads += gradients.kv_heads.square();
      squares.channels += gradients.channels.square();
      squares.layers += gradients.layers.square();
      ++counted;
    }
    if (on_progress) on_progress(done + 1, sequences);
  }
  for (Weight* weight : model.weights()) weight->grad.zero_();
  if (counted == 0) return invalid_input("no sequence has a token to learn");
  const auto count = static_cast<double>(counted);
  return StructureImportance{.neurons = rows_of(squares.neurons / count),
                             .kv_heads = rows_of(squares.kv_heads / count),
                             .channels = values_of(squares.channels / count),
                             .layers = values_of(squares.layers / count)};
}

}  // namespace brisk::train
