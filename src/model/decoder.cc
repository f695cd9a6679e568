#include "model/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/quant/format.h"
#include "compute/sys/memory.h"

namespace brisk {
namespace {

constexpr auto kNoLayer = static_cast<size_t>(-1);

// Of the kinds of MLP that the model's layers have.
int64_t widest_mlp(const ModelSpec& spec) {
  int64_t widest = 0;
  for (const LayerSpec& layer : spec.layers) {
    const int width =
        layer.routed ? std::max(spec.moe.ffn_size, spec.moe.shared_ffn_size) : spec.ffn_size;
    widest = std::max<int64_t>(widest, width);
  }
  return widest;
}

int64_t depth_max(const ModelSpec& spec) {
  return std::max(
      {int64_t{spec.hidden_size}, int64_t{spec.heads} * spec.head_dim, widest_mlp(spec)});
}

void allocate(std::vector<float>* buffer, int64_t rows, int64_t cols) {
  buffer->assign(static_cast<size_t>(rows * cols), 0.0f);
}

// The k largest of `probabilities`, largest first, lower index first among equals.
void largest(std::span<const float> probabilities, std::span<int32_t> indices,
             std::span<float> values) {
  for (size_t i = 0; i < indices.size(); ++i) {
    int32_t best = -1;
    for (int32_t e = 0; e < static_cast<int32_t>(probabilities.size()); ++e) {
      const auto taken = indices.first(i);
      if (std::find(taken.begin(), taken.end(), e) != taken.end()) continue;
      if (best < 0 ||
          probabilities[static_cast<size_t>(e)] > probabilities[static_cast<size_t>(best)]) {
        best = e;
      }
    }
    indices[i] = best;
    values[i] = probabilities[static_cast<size_t>(best)];
  }
}

// Calls body(group) for the products that share a reduction. REQUIRES: they stand together.
template <typename Body>
void for_each_reduction(std::span<const Linear* const> users, const Body& body) {
  for (size_t begin = 0, end = 0; begin < users.size(); begin = end) {
    const Linear* const reduce = users[begin]->reduce.get();
    for (end = begin + 1; end < users.size() && users[end]->reduce.get() == reduce;) ++end;
    if (reduce != nullptr) body(users.subspan(begin, end - begin));
  }
}

// REQUIRES: the same shape.
void copy_rows(ConstMatView from, MatView to) {
  for (int64_t r = 0; r < to.rows; ++r) {
    std::memcpy(to.row(r), from.row(r), static_cast<size_t>(to.cols) * sizeof(float));
  }
}

}  // namespace

int64_t step_memory_bytes(const ModelSpec& spec, const DecoderOptions& options, int threads) {
  const int64_t heads = int64_t{2} * (spec.heads + spec.kv_heads) * spec.head_dim;  // q, out, k, v
  int64_t row = 3 * int64_t{spec.hidden_size} + heads + 2 * widest_mlp(spec);
  for (const RopeSpec& rope : spec.ropes) row += rope.rotary_dim;
  if (spec.moe.experts > 0) {
    row += 2 * int64_t{spec.hidden_size} + spec.moe.experts + 2 * spec.moe.experts_per_token;
  }
  // An input as int8, with its scales and sums; and what factors make of it, both ways.
  row += depth_max(spec) / 2 + kSharedInputMax * (spec.rank_max + spec.rank_max / 2);
  const int64_t floats = options.rows_max * row + options.logits_rows_max * spec.vocab_size +
                         threads * kColumnUnit * depth_max(spec);
  return floats * static_cast<int64_t>(sizeof(float));
}

absl::Status check_step_memory(const ModelSpec& spec, const DecoderOptions& options, int threads) {
  const int64_t needed = step_memory_bytes(spec, options, threads);
  const int64_t available = available_memory_bytes();
  if (available == 0 || needed <= available) return absl::OkStatus();
  return exhausted("a step of {} tokens of this model takes {} of working memory, but {} are free",
                   options.rows_max, human_bytes(static_cast<uint64_t>(needed)),
                   human_bytes(static_cast<uint64_t>(available)));
}

Decoder::Decoder(const Model& model, const KernelTable& kernels, ThreadTeam& team, KvMemory& kv,
                 const DecoderOptions& options)
    : model_(model),
      spec_(model.spec),
      team_(team),
      kv_(kv),
      ops_(kernels, team.size(),
           {.rows = options.rows_max,
            .depth = depth_max(model.spec),
            .slots = model.spec.rank_max > 0 ? 1 + kSharedInputMax : 1,
            .rank = model.spec.rank_max,
            .head_dim = model.spec.head_dim,
            .heads = model.spec.heads,
            .context = model.spec.context_length,
            .reorders = model.weights.reorders}),
      lora_(kernels),
      options_(options) {
  const int64_t rows = options.rows_max;
  allocate(&x_, rows, spec_.hidden_size);
  allocate(&h_, rows, spec_.hidden_size);
  allocate(&branch_, rows, spec_.hidden_size);
  allocate(&q_, rows, int64_t{spec_.heads} * spec_.head_dim);
  allocate(&k_, rows, int64_t{spec_.kv_heads} * spec_.head_dim);
  allocate(&v_, rows, int64_t{spec_.kv_heads} * spec_.head_dim);
  allocate(&mixed_, rows, int64_t{spec_.heads} * spec_.head_dim);
  allocate(&gate_, rows, widest_mlp(spec_));
  allocate(&up_, rows, widest_mlp(spec_));
  allocate(&logits_, options.logits_rows_max, spec_.vocab_size);
  for (auto& reduced : reduced_) allocate(&reduced, rows, spec_.rank_max);
  for (const RopeSpec& rope : spec_.ropes) {
    Angles& angles = angles_.emplace_back();
    allocate(&angles.cos, rows, rope.rotary_dim / 2);
    allocate(&angles.sin, rows, rope.rotary_dim / 2);
  }
  if (spec_.moe.experts > 0) {
    const auto chosen = static_cast<size_t>(rows * spec_.moe.experts_per_token);
    allocate(&router_, rows, spec_.moe.experts);
    chosen_.resize(chosen);
    chosen_weight_.resize(chosen);
    allocate(&gathered_, rows, spec_.hidden_size);
    allocate(&expert_out_, rows, spec_.hidden_size);
    allocate(&shared_gate_, rows, 1);
    expert_rows_.resize(static_cast<size_t>(team.size()));
    for (ExpertRows& list : expert_rows_) {
      list.rows.reserve(static_cast<size_t>(rows));
      list.shares.reserve(static_cast<size_t>(rows));
    }
  }
}

void Decoder::begin(const StepBatch& batch) {
  rows_ = static_cast<int64_t>(batch.tokens.size());
  BRISK_CHECK(rows_ >= 1 && rows_ <= options_.rows_max);
  BRISK_CHECK(std::ssize(batch.logits_rows) <= options_.logits_rows_max);
  lora_.begin(batch.slices, batch.adapters);
}

MatView Decoder::forward(const StepBatch& batch) {
  begin(batch);
  team_.run([&](Worker worker) { run(worker, batch); });
  return {logits_.data(), std::ssize(batch.logits_rows), spec_.vocab_size, spec_.vocab_size};
}

void Decoder::run(Worker worker, const StepBatch& batch) {
  if (trace_ != nullptr) trace_->begin(worker.index);
  embed(worker, batch);
  compute_angles(worker, batch);
  lap(worker, OpKind::kEmbed, kNoLayer);
  for (size_t i = 0; i < spec_.layers.size(); ++i) block(worker, batch, i);
  head(worker, batch);
}

void Decoder::block(Worker worker, const StepBatch& batch, size_t index) {
  attention_block(worker, batch, index);
  if (spec_.layers[index].routed) {
    routed_mlp(worker, index);
  } else {
    dense_mlp(worker, index);
  }
}

void Decoder::embed_rows(const StepBatch& batch, MatView hidden) {
  begin(batch);
  team_.run([&](Worker worker) { embed(worker, batch); });
  copy_rows(rows_of(x_, spec_.hidden_size), hidden);
}

void Decoder::run_layer(const StepBatch& batch, size_t layer, MatView hidden) {
  begin(batch);
  copy_rows(hidden, rows_of(x_, spec_.hidden_size));
  team_.run([&](Worker worker) {
    compute_angles(worker, batch);
    block(worker, batch, layer);
  });
  copy_rows(rows_of(x_, spec_.hidden_size), hidden);
}

MatView Decoder::run_head(const StepBatch& batch, ConstMatView hidden) {
  begin(batch);
  copy_rows(hidden, rows_of(x_, spec_.hidden_size));
  team_.run([&](Worker worker) { head(worker, batch); });
  return {logits_.data(), std::ssize(batch.logits_rows), spec_.vocab_size, spec_.vocab_size};
}

void Decoder::embed(Worker worker, const StepBatch& batch) {
  const Range mine = worker.share(rows_);
  const int64_t hidden = spec_.hidden_size;
  for (const SliceView& slice : batch.slices) {
    for (int64_t r = std::max(mine.begin, slice.row_begin); r < std::min(mine.end, slice.row_end);
         ++r) {
      float* x = x_.data() + r * hidden;
      decode_values(model_.weights.embedding, batch.tokens[static_cast<size_t>(r)] * hidden, hidden,
                    x);
      if (spec_.embedding_scale != 1) {
        for (int64_t i = 0; i < hidden; ++i) x[i] *= spec_.embedding_scale;
      }
      if (spec_.learned_positions) {
        float* position = h_.data() + r * hidden;
        decode_values(*model_.weights.positions,
                      (slice.first_position + r - slice.row_begin) * hidden, hidden, position);
        ops_.kernels().add_scaled(position, 1, hidden, x);
      }
    }
  }
}

void Decoder::compute_angles(Worker worker, const StepBatch& batch) {
  const Range mine = worker.share(rows_);
  for (size_t i = 0; i < spec_.ropes.size(); ++i) {
    const RopeSpec& rope = spec_.ropes[i];
    if (rope.style == RopeStyle::kNone) continue;
    const auto half = static_cast<int64_t>(rope.inverse_frequencies.size());
    for (const SliceView& slice : batch.slices) {
      for (int64_t r = std::max(mine.begin, slice.row_begin); r < std::min(mine.end, slice.row_end);
           ++r) {
        const auto position = static_cast<double>(slice.first_position + r - slice.row_begin);
        float* cos = angles_[i].cos.data() + r * half;
        float* sin = angles_[i].sin.data() + r * half;
        for (int64_t d = 0; d < half; ++d) {
          const double angle = position * rope.inverse_frequencies[static_cast<size_t>(d)];
          cos[d] = static_cast<float>(std::cos(angle)) * rope.magnitude;
          sin[d] = static_cast<float>(std::sin(angle)) * rope.magnitude;
        }
      }
    }
  }
}

// Rows are shared the same way by every row-wise operation, so consecutive ones need no sync.
void Decoder::attention_block(Worker worker, const StepBatch& batch, size_t index) {
  const LayerWeights& layer = model_.weights.layers[index];
  const int64_t hidden = spec_.hidden_size;
  const MatView x = rows_of(x_, hidden), h = rows_of(h_, hidden), branch = rows_of(branch_, hidden);
  const MatView q = rows_of(q_, int64_t{spec_.heads} * spec_.head_dim);
  const MatView k = rows_of(k_, int64_t{spec_.kv_heads} * spec_.head_dim);
  const MatView v = rows_of(v_, int64_t{spec_.kv_heads} * spec_.head_dim);
  const MatView mixed = rows_of(mixed_, int64_t{spec_.heads} * spec_.head_dim);
  const Range mine = worker.share(rows_);

  for (int64_t r = mine.begin; r < mine.end; ++r) {
    prepare_row(layer.attention_norm, x.row(r), hidden, h.row(r));
  }
  if (worker.index == 0) ops_.begin_attention();
  lap(worker, OpKind::kNorm, index);
  sync(worker, index);

  load_input(worker, index, OpKind::kQkv, h, {&layer.q, &layer.k, &layer.v},
             {LoraTarget::kQ, LoraTarget::kK, LoraTarget::kV});
  product(worker, layer.q, h, q);
  product(worker, layer.k, h, k);
  product(worker, layer.v, h, v);
  adapt(worker, index, LoraTarget::kQ, q);
  adapt(worker, index, LoraTarget::kK, k);
  adapt(worker, index, LoraTarget::kV, v);
  lap(worker, OpKind::kQkv, index);
  sync(worker, index);

  position_heads(worker, batch, index);
  ops_.append_kv(worker, kv_.layer(static_cast<int64_t>(index)), batch.slices, k, v);
  lap(worker, OpKind::kPosition, index);
  sync(worker, index);
  if (observer_ != nullptr) {
    observer_->observe_heads(worker, index, {.q = q, .k = k, .v = v, .head_dim = spec_.head_dim});
  }

  ops_.attention(worker, {.q = q,
                          .out = mixed,
                          .kv = kv_.layer(static_cast<int64_t>(index)),
                          .slices = batch.slices,
                          .heads = spec_.heads,
                          .sliding_window = spec_.layers[index].sliding_window,
                          .scale = spec_.attention_scale,
                          .softcap = spec_.attention_softcap,
                          .may_round = model_.activations != Activations::kF32});
  lap(worker, OpKind::kAttention, index);
  sync(worker, index);
  if (spec_.quantize_activations) {
    quantize_rows(worker, mixed);
    sync(worker, index);
  }

  const bool has_own_norm = !layer.post_attention_norm.weight.empty();
  load_input(worker, index, OpKind::kOutput, mixed, {&layer.o}, {LoraTarget::kO});
  product(worker, layer.o, mixed, has_own_norm ? branch : x, /*add=*/!has_own_norm);
  adapt(worker, index, LoraTarget::kO, has_own_norm ? branch : x);
  lap(worker, OpKind::kOutput, index);
  sync(worker, index);

  for (int64_t r = mine.begin; r < mine.end; ++r) {
    if (has_own_norm) {
      norm_row(layer.post_attention_norm, branch.row(r), hidden, branch.row(r));
      ops_.kernels().add_scaled(branch.row(r), 1, hidden, x.row(r));
    }
    prepare_row(layer.ffn_norm, x.row(r), hidden, h.row(r));
  }
  lap(worker, OpKind::kNorm, index);
  sync(worker, index);
}

// Per-head norms and rotation of this member's rows.
void Decoder::position_heads(Worker worker, const StepBatch& batch, size_t index) {
  const LayerWeights& layer = model_.weights.layers[index];
  const auto rope_index = static_cast<size_t>(spec_.layers[index].rope);
  const RopeSpec& rope = spec_.ropes[rope_index];
  const MatView q = rows_of(q_, int64_t{spec_.heads} * spec_.head_dim);
  const MatView k = rows_of(k_, int64_t{spec_.kv_heads} * spec_.head_dim);
  RopeOp op = {.x = q,
               .cos = angles_[rope_index].cos.data(),
               .sin = angles_[rope_index].sin.data(),
               .heads = spec_.heads,
               .head_dim = spec_.head_dim,
               .rotary_dim = rope.rotary_dim,
               .interleaved = rope.style == RopeStyle::kInterleaved};
  const Range mine = worker.share(static_cast<int64_t>(batch.tokens.size()));
  for (int64_t r = mine.begin; r < mine.end; ++r) {
    if (!layer.q_norm.weight.empty()) {
      for (int i = 0; i < spec_.heads; ++i) {
        float* head = q.row(r) + i * spec_.head_dim;
        norm_row(layer.q_norm, head, spec_.head_dim, head);
      }
      for (int i = 0; i < spec_.kv_heads; ++i) {
        float* head = k.row(r) + i * spec_.head_dim;
        norm_row(layer.k_norm, head, spec_.head_dim, head);
      }
    }
    if (rope.style == RopeStyle::kNone) continue;
    op.x = q;
    op.heads = spec_.heads;
    CpuOps::rope_row(op, r);
    op.x = k;
    op.heads = spec_.kv_heads;
    CpuOps::rope_row(op, r);
  }
}

void Decoder::dense_mlp(Worker worker, size_t index) {
  const LayerWeights& layer = model_.weights.layers[index];
  const int64_t hidden = spec_.hidden_size;
  const MatView x = rows_of(x_, hidden), h = rows_of(h_, hidden), branch = rows_of(branch_, hidden);
  const MatView inner = rows_of(gate_, spec_.ffn_size);

  load_input(worker, index, OpKind::kGateUp, h, {&layer.gate, &layer.up},
             {LoraTarget::kGate, LoraTarget::kUp});
  gated_product(worker, layer.gate, layer.up, h, inner, index);
  lap(worker, OpKind::kGateUp, index);
  sync(worker, index);
  if (spec_.quantize_activations) {
    quantize_rows(worker, inner);
    sync(worker, index);
  }

  const bool has_own_norm = !layer.post_ffn_norm.weight.empty();
  load_input(worker, index, OpKind::kDown, inner, {&layer.down}, {LoraTarget::kDown});
  product(worker, layer.down, inner, has_own_norm ? branch : x, /*add=*/!has_own_norm);
  adapt(worker, index, LoraTarget::kDown, has_own_norm ? branch : x);
  lap(worker, OpKind::kDown, index);
  sync(worker, index);

  if (!has_own_norm) return;
  const Range mine = worker.share(rows_);
  for (int64_t r = mine.begin; r < mine.end; ++r) {
    norm_row(layer.post_ffn_norm, branch.row(r), hidden, branch.row(r));
    ops_.kernels().add_scaled(branch.row(r), 1, hidden, x.row(r));
  }
  lap(worker, OpKind::kNorm, index);
}

// output = activation(input gate^T) * (input up^T); each member needs only columns it made itself.
// Adapters add to both where they are those of the dense `adapted_layer` (kNoLayer: they are not).
void Decoder::gated_product(Worker worker, const Linear& gate, const Linear& up, ConstMatView input,
                            MatView output, size_t adapted_layer) {
  MatView factor = output;
  factor.data = up_.data();
  const bool gated = !gate.weight.shape.empty();
  product(worker, gated ? gate : up, input, output);
  if (gated) product(worker, up, input, factor);
  if (adapted_layer != kNoLayer) {
    adapt(worker, adapted_layer, LoraTarget::kUp, gated ? factor : output);
    if (gated) adapt(worker, adapted_layer, LoraTarget::kGate, output);
  }
  const auto activate = spec_.activation == Activation::kSilu       ? ops_.kernels().silu
                        : spec_.activation == Activation::kGeluTanh ? ops_.kernels().gelu_tanh
                                                                    : ops_.kernels().relu2;
  const Range columns = worker.share(output.cols, kColumnUnit);
  if (columns.begin == columns.end) return;
  for (int64_t r = 0; r < output.rows; ++r) {
    float* y = output.row(r) + columns.begin;
    activate(y, gated ? factor.row(r) + columns.begin : nullptr, columns.end - columns.begin, y);
  }
}

void Decoder::routed_mlp(Worker worker, size_t index) {
  const LayerWeights& layer = model_.weights.layers[index];
  const int64_t hidden = spec_.hidden_size;
  const int64_t per_token = spec_.moe.experts_per_token;
  const bool shared = spec_.moe.shared_ffn_size > 0;
  load_input(worker, index, OpKind::kExperts, rows_of(h_, hidden),
             {&layer.router, &layer.shared_expert_gate});
  product(worker, layer.router, rows_of(h_, hidden), rows_of(router_, spec_.moe.experts));
  if (shared) {
    product(worker, layer.shared_expert_gate, rows_of(h_, hidden), rows_of(shared_gate_, 1));
  }
  lap(worker, OpKind::kExperts, index);
  sync(worker, index);
  choose_experts(worker);
  lap(worker, OpKind::kExperts, index);
  sync(worker, index);

  // Experts in order, so that every row adds its own in the same order whoever its neighbours are.
  ExpertRows& list = expert_rows_[static_cast<size_t>(worker.index)];
  for (int32_t e = 0; e < spec_.moe.experts; ++e) {
    list.rows.clear();
    list.shares.clear();
    for (int64_t i = 0; i < rows_ * per_token; ++i) {
      if (chosen_[static_cast<size_t>(i)] != e) continue;
      list.rows.push_back(static_cast<int32_t>(i / per_token));
      list.shares.push_back(chosen_weight_[static_cast<size_t>(i)]);
    }
    if (!list.rows.empty()) {
      run_expert(worker, index, layer.experts[static_cast<size_t>(e)], list.rows, list.shares);
    }
  }
  if (!shared) return;
  list.rows.clear();
  list.shares.clear();
  for (int32_t r = 0; r < rows_; ++r) {
    list.rows.push_back(r);
    list.shares.push_back(1 / (1 + std::exp(-shared_gate_[static_cast<size_t>(r)])));
  }
  run_expert(worker, index, layer.shared_expert, list.rows, list.shares);
}

void Decoder::choose_experts(Worker worker) {
  const auto experts = static_cast<size_t>(spec_.moe.experts);
  const auto per_token = static_cast<size_t>(spec_.moe.experts_per_token);
  const Range mine = worker.share(rows_);
  for (auto r = static_cast<size_t>(mine.begin); r < static_cast<size_t>(mine.end); ++r) {
    const std::span<float> scores(router_.data() + r * experts, experts);
    ops_.kernels().softmax(scores.data(), spec_.moe.experts);
    const std::span<float> weights(chosen_weight_.data() + r * per_token, per_token);
    largest(scores, {chosen_.data() + r * per_token, per_token}, weights);
    if (!spec_.moe.normalize_weights) continue;
    float total = 0;
    for (const float weight : weights) total += weight;
    for (float& weight : weights) weight /= total;
  }
}

// x[rows[i]] += shares[i] * expert(h[rows[i]])
void Decoder::run_expert(Worker worker, size_t index, const ExpertWeights& expert,
                         std::span<const int32_t> rows, std::span<const float> shares) {
  const int64_t hidden = spec_.hidden_size;
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t width = expert.up.weight.shape[0];
  const MatView input = {gathered_.data(), count, hidden, hidden};
  const MatView inner = {gate_.data(), count, width, width};
  const MatView output = {expert_out_.data(), count, hidden, hidden};
  const Range mine = worker.share(count);
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    const float* row = h_.data() + rows[static_cast<size_t>(i)] * hidden;
    std::memcpy(input.row(i), row, static_cast<size_t>(hidden) * sizeof(float));
  }
  lap(worker, OpKind::kExperts, index);
  sync(worker, index);
  load_input(worker, index, OpKind::kExperts, input, {&expert.gate, &expert.up});
  gated_product(worker, expert.gate, expert.up, input, inner, kNoLayer);
  lap(worker, OpKind::kExperts, index);
  sync(worker, index);
  load_input(worker, index, OpKind::kExperts, inner, {&expert.down});
  product(worker, expert.down, inner, output);
  lap(worker, OpKind::kExperts, index);
  sync(worker, index);
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    const auto n = static_cast<size_t>(i);
    ops_.kernels().add_scaled(output.row(i), shares[n], hidden, x_.data() + rows[n] * hidden);
  }
  lap(worker, OpKind::kExperts, index);
  sync(worker, index);
}

// Logits of the wanted rows only.
void Decoder::head(Worker worker, const StepBatch& batch) {
  const int64_t hidden = spec_.hidden_size;
  const auto wanted = static_cast<int64_t>(batch.logits_rows.size());
  const MatView h = {h_.data(), wanted, hidden, hidden};
  const Range mine = worker.share(wanted);
  sync(worker, kNoLayer);
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    const float* x = x_.data() + batch.logits_rows[static_cast<size_t>(i)] * hidden;
    norm_row(model_.weights.final_norm, x, hidden, h.row(i));
  }
  lap(worker, OpKind::kNorm, kNoLayer);
  sync(worker, kNoLayer);
  load_input(worker, kNoLayer, OpKind::kHead, h, {&model_.weights.head});
  const MatView logits = {logits_.data(), wanted, spec_.vocab_size, spec_.vocab_size};
  product(worker, model_.weights.head, h, logits);
  if (spec_.final_softcap != 0) {
    const Range columns = worker.share(spec_.vocab_size, kColumnUnit);
    for (int64_t i = 0; i < wanted; ++i) {
      ops_.kernels().softcap(logits.row(i) + columns.begin, columns.end - columns.begin,
                             spec_.final_softcap);
    }
  }
  lap(worker, OpKind::kHead, kNoLayer);
}

void Decoder::final_hidden(int64_t row, std::span<float> state) const {
  norm_row(model_.weights.final_norm, x_.data() + row * spec_.hidden_size, spec_.hidden_size,
           state.data());
}

void Decoder::norm_row(const NormWeights& weights, const float* x, int64_t cols, float* y) const {
  const NormArgs args = {.x = x,
                         .weight = weights.weight.empty() ? nullptr : weights.weight.data(),
                         .bias = weights.bias.empty() ? nullptr : weights.bias.data(),
                         .weight_offset = spec_.norm == NormKind::kRmsPlusOne ? 1.0f : 0.0f,
                         .eps = spec_.norm_eps,
                         .cols = cols,
                         .y = y};
  if (spec_.norm == NormKind::kLayer) {
    ops_.kernels().layer_norm(args);
  } else {
    ops_.kernels().rms_norm(args);
  }
}

// What the next product takes: normed, or for BitNet rounded to int8.
void Decoder::prepare_row(const NormWeights& weights, const float* x, int64_t cols,
                          float* y) const {
  if (spec_.quantize_activations) {
    ops_.kernels().quantize_row(x, cols, y);
  } else {
    norm_row(weights, x, cols, y);
  }
}

void Decoder::quantize_rows(Worker worker, MatView x) const {
  const Range mine = worker.share(x.rows);
  for (int64_t r = mine.begin; r < mine.end; ++r) {
    ops_.kernels().quantize_row(x.row(r), x.cols, x.row(r));
  }
}

// REQUIRES: `input` is synced. All products of one input follow its load.
void Decoder::load_input(Worker worker, size_t index, OpKind kind, ConstMatView input,
                         std::initializer_list<const Linear*> users,
                         std::initializer_list<LoraTarget> targets) {
  std::array<const Linear*, kSharedInputMax> readers;  // of the input itself
  std::transform(users.begin(), users.end(), readers.begin(), [](const Linear* linear) {
    return linear->reduce != nullptr ? linear->reduce.get() : linear;
  });
  const bool rounded = load(worker, index, input, {readers.data(), users.size()}, 0);
  const bool adapted = lora_.is_active() && targets.size() > 0 && input.rows > 0;
  if (adapted) lora_.reduce(worker, index, input, targets);
  if (rounded || adapted) {
    lap(worker, OpKind::kRound, index);
    sync(worker, index);
  }
  const bool factored = std::any_of(users.begin(), users.end(),
                                    [](const Linear* linear) { return linear->reduce != nullptr; });
  if (factored) reduce(worker, index, kind, input, {users.begin(), users.size()});
}

// Rounds `input` into `slot` where one of `users` takes it so: true, and it is to be synced.
bool Decoder::load(Worker worker, size_t index, ConstMatView input,
                   std::span<const Linear* const> users, int slot) {
  if (observer_ != nullptr) observer_->observe(worker, index, input, users);
  const bool rounded = std::any_of(users.begin(), users.end(), [](const Linear* linear) {
    return linear->weight.takes_rounded_input();
  });
  if (!rounded || input.rows == 0) return false;
  ops_.load_input(worker, input, slot);
  return true;
}

// The first of two products, for users that have factors.
void Decoder::reduce(Worker worker, size_t index, OpKind kind, ConstMatView input,
                     std::span<const Linear* const> users) {
  for_each_reduction(users, [&](std::span<const Linear* const> group) {
    product(worker, *group.front()->reduce, input, reduced(*group.front(), input.rows));
  });
  lap(worker, kind, index);
  sync(worker, index);
  bool rounded = false;
  for_each_reduction(users, [&](std::span<const Linear* const> group) {
    const Linear& first = *group.front();
    rounded |= load(worker, index, reduced(first, input.rows), group, 1 + first.slot);
  });
  if (!rounded) return;
  lap(worker, OpKind::kRound, index);
  sync(worker, index);
}

void Decoder::product(Worker worker, const Linear& linear, ConstMatView input, MatView output,
                      bool add) {
  const bool factored = linear.reduce != nullptr;
  ops_.linear(worker, {.input = factored ? reduced(linear, input.rows) : input,
                       .weight = &linear.weight,
                       .bias = linear.bias,
                       .output = output,
                       .add = add,
                       .slot = factored ? 1 + linear.slot : 0});
}

MatView Decoder::reduced(const Linear& linear, int64_t rows) {
  const int64_t rank = linear.reduce->weight.shape[0];
  return {reduced_[static_cast<size_t>(linear.slot)].data(), rows, rank, rank};
}

MatView Decoder::rows_of(std::vector<float>& buffer, int64_t cols) const {
  return {buffer.data(), rows_, cols, cols};
}

}  // namespace brisk
