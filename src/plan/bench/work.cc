#include "plan/bench/work.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "compute/backend/cpu_ops.h"
#include "compute/quant/format.h"
#include "model/kv_memory.h"

namespace brisk {
namespace {

// A product of `rows` rows, spread over `steps` steps that each read its weights.
struct Use {
  double rows = 0;
  double steps = 0;
};

bool has_whole_bytes(const Tensor& weight) {
  return weight.panels.has_value()
             ? *weight.panels == PanelFormat::kQ8_0 || *weight.panels == PanelFormat::kScaled8
             : weight.sparse == SparseFormat::kQ8_0;
}

double& operations_with(const Tensor& weight, Work* work) {
  if (weight.tiles.has_value()) return work->tile_ops;
  if (!weight.takes_rounded_input()) return work->flops;
  return has_whole_bytes(weight) ? work->int8_ops : work->int4_ops;
}

Work work_of(std::initializer_list<const Linear*> linears, Use use) {
  Work work;
  for_each_matrix(linears, [&](const Linear& linear) {
    const Tensor& weight = linear.weight;
    if (weight.shape.empty()) return;
    const double operations = 2 * use.rows * static_cast<double>(weight.values());
    operations_with(weight, &work) += operations;
    work.bytes += use.steps * static_cast<double>(weight.data.size() + weight.scales.size_bytes());
  });
  return work;
}

// Each token goes to some of the experts; a step reads as many as its tokens could reach.
Work experts_work(const ModelSpec& spec, const LayerWeights& layer, Use use) {
  Work work = work_of({&layer.router, &layer.shared_expert_gate, &layer.shared_expert.gate,
                       &layer.shared_expert.up, &layer.shared_expert.down},
                      use);
  const double share = static_cast<double>(spec.moe.experts_per_token) / spec.moe.experts;
  const double rows_per_step = use.rows / use.steps;
  const double reached = 1 - std::pow(1 - share, rows_per_step);
  for (const ExpertWeights& expert : layer.experts) {
    work.add(work_of({&expert.gate, &expert.up, &expert.down},
                     {.rows = use.rows * share, .steps = use.steps * reached}));
  }
  return work;
}

void add_sparse(std::initializer_list<const Linear*> linears, SparseBytes* sum) {
  for_each_matrix(linears, [sum](const Linear& linear) {
    const Tensor& weight = linear.weight;
    if (!weight.sparse.has_value()) return;
    sum->bytes += std::ssize(weight.data);
    sum->dense_bytes += bytes_of(weight.dtype, weight.values());
  });
}

}  // namespace

WorkByOp work_of(const Model& model, const BenchTest& test, const BenchOptions& options,
                 KvElement element) {
  const ModelSpec& spec = model.spec;
  const double n = test.tokens, batch = test.batch;
  const bool prefill = test.kind == BenchTest::Kind::kPrefill;
  const double steps = prefill ? std::ceil(batch * n / options.tokens_per_step) : n;
  const Use use = {.rows = batch * n, .steps = steps};
  WorkByOp work;
  const auto at = [&](OpKind kind) -> Work& { return work[static_cast<size_t>(kind)]; };
  for (const LayerWeights& layer : model.weights.layers) {
    at(OpKind::kQkv).add(work_of({&layer.q, &layer.k, &layer.v}, use));
    at(OpKind::kOutput).add(work_of({&layer.o}, use));
    if (layer.experts.empty()) {
      at(OpKind::kGateUp).add(work_of({&layer.gate, &layer.up}, use));
      at(OpKind::kDown).add(work_of({&layer.down}, use));
    } else {
      at(OpKind::kExperts).add(experts_work(spec, layer, use));
    }
  }
  at(OpKind::kHead) =
      work_of({&model.weights.head},
              {.rows = prefill ? batch : batch * n, .steps = prefill ? std::min(batch, steps) : n});
  // Positions attended to, summed over the tokens of all sequences.
  const double positions = batch * (n * test.context + n * (n + 1) / 2);
  const double kv_per_token = static_cast<double>(kv_block_bytes(spec, element)) / kKvBlockTokens;
  const double products =
      4.0 * static_cast<double>(spec.layers.size()) * spec.heads * spec.head_dim * positions;
  const bool in_tiles = model.activations != Activations::kF32 &&
                        attention_in_tiles(*model.kernels, element, spec.head_dim) != nullptr;
  at(OpKind::kAttention) = {.int8_ops = 0,
                            .int4_ops = 0,
                            .tile_ops = in_tiles ? products : 0,
                            .flops = in_tiles ? 0 : products,
                            // Tokens of a prefill step share what they read.
                            .bytes = kv_per_token * (prefill ? batch * n : positions)};
  return work;
}

Work total(const WorkByOp& work) {
  Work sum;
  for (const Work& part : work) sum.add(part);
  return sum;
}

double weight_bytes_per_step(const Model& model) {
  BenchTest one;
  one.kind = BenchTest::Kind::kDecode;
  one.tokens = 1;
  WorkByOp work = work_of(model, one, {}, KvElement::kBF16);
  work[static_cast<size_t>(OpKind::kAttention)] = {};
  return total(work).bytes;
}

SparseBytes sparse_bytes(const Model& model) {
  SparseBytes sum;
  for (const LayerWeights& layer : model.weights.layers) {
    add_sparse({&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}, &sum);
    for (const ExpertWeights& expert : layer.experts) {
      add_sparse({&expert.gate, &expert.up, &expert.down}, &sum);
    }
    const ExpertWeights& shared = layer.shared_expert;
    add_sparse({&shared.gate, &shared.up, &shared.down}, &sum);
  }
  add_sparse({&model.weights.head}, &sum);
  return sum;
}

}  // namespace brisk
