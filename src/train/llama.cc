#include "train/llama.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "base/status.h"
#include "compute/quant/format.h"
#include "model/arch/architecture.h"
#include "model/bind_weights.h"

namespace brisk::train {
namespace {

Weight make_weight(std::vector<WeightPart> parts, int64_t columns) {
  int64_t rows = 0;
  for (const WeightPart& part : parts) rows += part.rows;
  Weight weight;
  weight.parts = std::move(parts);
  weight.master = columns == 0 ? at::ones({rows}) : at::zeros({rows, columns});
  weight.decays = weight.is_linear = columns != 0;
  return weight;
}

void fill_gaussian(at::Tensor& tensor, double deviation, uint64_t seed, uint64_t stream) {
  Rng rng(seed, stream);
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    values[i] = static_cast<float>(rng.next_gaussian() * deviation);
  }
}

// The same angles as the engine: computed in f64 and rounded once.
RotaryTable make_rotary(const DecoderShape& shape) {
  const int64_t half = shape.head_dim / 2;
  RotaryTable table = {at::empty({shape.context, half}), at::empty({shape.context, half})};
  for (int64_t position = 0; position < shape.context; ++position) {
    for (int64_t i = 0; i < half; ++i) {
      const double frequency = std::pow(
          shape.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim));
      const double angle = static_cast<double>(position) * frequency;
      table.cos.data_ptr<float>()[position * half + i] = static_cast<float>(std::cos(angle));
      table.sin.data_ptr<float>()[position * half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

at::Tensor int32_tensor(const std::vector<int32_t>& values) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kInt);
  std::memcpy(tensor.data_ptr<int32_t>(), values.data(), values.size() * sizeof(int32_t));
  return tensor;
}

// As PEFT calls the two matrices that add to a weight.
std::string adapter_name(const std::string& weight_name, bool is_a) {
  constexpr std::string_view kSuffix = ".weight";
  return fmt::format("base_model.model.{}.lora_{}.weight",
                     weight_name.substr(0, weight_name.size() - kSuffix.size()), is_a ? "A" : "B");
}

void freeze(Weight& weight, bool train) {
  weight.grad = train ? at::zeros_like(weight.master) : at::Tensor();
}

}  // namespace

LlamaModel::LlamaModel(const DecoderShape& shape, ComputeType type)
    : shape_(shape), type_(type), rotary_(make_rotary(shape)) {
  embedding_ = make_weight({{"model.embed_tokens.weight", shape.vocab}}, shape.dim);
  embedding_.decays = false;
  if (!shape.tied) head_ = make_weight({{"lm_head.weight", shape.vocab}}, shape.dim);
  final_norm_ = make_weight({{"model.norm.weight", shape.dim}}, 0);
  const int64_t q = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string at = fmt::format("model.layers.{}.", i);
    Layer layer;
    layer.attention_norm = make_weight({{at + "input_layernorm.weight", shape.dim}}, 0);
    layer.qkv = make_weight({{at + "self_attn.q_proj.weight", q},
                             {at + "self_attn.k_proj.weight", kv},
                             {at + "self_attn.v_proj.weight", kv}},
                            shape.dim);
    layer.output = make_weight({{at + "self_attn.o_proj.weight", shape.dim}}, q);
    layer.ffn_norm = make_weight({{at + "post_attention_layernorm.weight", shape.dim}}, 0);
    layer.gate_up = make_weight(
        {{at + "mlp.gate_proj.weight", shape.ffn}, {at + "mlp.up_proj.weight", shape.ffn}},
        shape.dim);
    layer.down = make_weight({{at + "mlp.down_proj.weight", shape.dim}}, shape.ffn);
    layers_.push_back(std::move(layer));
  }
}

std::unique_ptr<LlamaModel> LlamaModel::create(const DecoderShape& shape, ComputeType type,
                                               uint64_t seed, double deviation) {
  std::unique_ptr<LlamaModel> model(new LlamaModel(shape, type));
  const double narrow = deviation / std::sqrt(2 * static_cast<double>(shape.layers));
  uint64_t stream = 0;
  for (Weight* weight : model->weights()) {
    if (!weight->is_linear) continue;
    const std::string& name = weight->parts.front().name;
    const bool ends_branch = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
    fill_gaussian(weight->master, ends_branch ? narrow : deviation, seed, ++stream);
  }
  model->train_weights(true);
  model->refresh();
  return model;
}

absl::StatusOr<std::unique_ptr<LlamaModel>> LlamaModel::load(const Checkpoint& checkpoint,
                                                             ComputeType type,
                                                             std::span<const int64_t> kept_tokens) {
  BRISK_ASSIGN_OR_RETURN(const Architecture* from, find_architecture(checkpoint.config));
  BRISK_ASSIGN_OR_RETURN(ModelSpec spec, from->spec(checkpoint, 0));
  spec.architecture = from->name;
  const Tensor* embedding = checkpoint.find("model.embed_tokens.weight");
  if (embedding != nullptr) spec.vocab_size = static_cast<int>(embedding->shape.at(0));
  const bool tied = checkpoint.find("lm_head.weight") == nullptr;
  BRISK_ASSIGN_OR_RETURN(DecoderShape shape, shape_of(checkpoint.config, spec, tied));
  // Every tensor is there and has its shape: what follows need not check.
  BRISK_RETURN_IF_ERROR(
      bind_weights(checkpoint, from->names(checkpoint.config.layout), spec).status());
  if (!kept_tokens.empty()) shape.vocab = static_cast<int64_t>(kept_tokens.size());
  std::unique_ptr<LlamaModel> model(new LlamaModel(shape, type));
  for (Weight* weight : model->weights()) {
    const bool has_tokens = weight == &model->embedding_ || weight == &model->head_;
    float* values = weight->master.data_ptr<float>();
    for (const WeightPart& part : weight->parts) {
      const Tensor* tensor = checkpoint.find(part.name);
      BRISK_CHECK(tensor != nullptr);
      if (has_tokens && !kept_tokens.empty()) {
        for (const int64_t token : kept_tokens) {
          decode_values(*tensor, token * shape.dim, shape.dim, values);
          values += shape.dim;
        }
        continue;
      }
      decode_values(*tensor, 0, tensor->values(), values);
      values += tensor->values();
    }
  }
  model->train_weights(true);
  model->refresh();
  return model;
}

std::vector<Weight*> LlamaModel::weights() {
  std::vector<Weight*> all = {&embedding_};
  const auto add_adapters = [&all](std::vector<Adapter>& adapters) {
    for (Adapter& adapter : adapters) all.insert(all.end(), {&adapter.a, &adapter.b});
  };
  for (Layer& layer : layers_) {
    all.insert(all.end(), {&layer.attention_norm, &layer.qkv, &layer.output, &layer.ffn_norm,
                           &layer.gate_up, &layer.down});
    add_adapters(layer.on_qkv);
    add_adapters(layer.on_output);
    add_adapters(layer.on_gate_up);
    add_adapters(layer.on_down);
  }
  all.push_back(&final_norm_);
  if (!shape_.tied) all.push_back(&head_);
  return all;
}

void LlamaModel::train_weights(bool train) {
  freeze(embedding_, train);
  if (!shape_.tied) freeze(head_, train);
  freeze(final_norm_, train);
  for (Layer& layer : layers_) {
    for (Weight* weight : {&layer.attention_norm, &layer.qkv, &layer.output, &layer.ffn_norm,
                           &layer.gate_up, &layer.down}) {
      freeze(*weight, train);
    }
  }
}

void LlamaModel::quantize_as(Rounding rounding, bool round_activations) {
  rounding_ = std::move(rounding);
  round_activations_ = round_activations;
  refresh();
}

void LlamaModel::keep_zeros() {
  for (Weight* weight : weights()) {
    if (weight->is_linear && weight->decays) weight->mask = weight->master.ne(0).to(at::kFloat);
  }
}

void LlamaModel::refresh() {
  for (Weight* weight : weights()) refresh(*weight);
}

void LlamaModel::refresh(Weight& weight) const {
  at::Tensor& seen = weight.seen;
  seen = weight.master;
  if (!weight.is_linear) return;
  const bool is_adapter = weight.parts.front().name.find(".lora_") != std::string::npos;
  if (rounding_ != nullptr && !is_adapter) {
    seen = at::empty_like(weight.master);
    const int64_t width = weight.master.size(1);
    const float* from = weight.master.data_ptr<float>();
    float* to = seen.data_ptr<float>();
    at::parallel_for(0, weight.master.size(0), 16, [&](int64_t begin, int64_t end) {
      rounding_(from + begin * width, end - begin, width, to + begin * width);
    });
  }
  if (type_ == ComputeType::kF32) {
    weight.compute = seen;
  } else if (weight.compute.defined()) {
    weight.compute.copy_(seen);
  } else {
    weight.compute = seen.to(at::kBFloat16);
  }
}

ModelInput LlamaModel::input_of(const Batch& batch) const {
  ModelInput input;
  input.tokens = int32_tensor(batch.tokens);
  input.layout.heads = {.sequence = batch.length,
                        .heads = shape_.heads,
                        .kv_heads = shape_.kv_heads,
                        .head_dim = shape_.head_dim};
  input.layout.positions = int32_tensor(batch.positions);
  input.layout.starts = int32_tensor(batch.starts);
  return input;
}

at::Tensor LlamaModel::project(const at::Tensor& x, Weight& weight,
                               std::vector<Adapter>& adapters) {
  at::Tensor y = linear(round_activations_ ? round_activations(x) : x, weight);
  if (adapters.empty()) return y;
  std::vector<at::Tensor> additions;
  for (Adapter& adapter : adapters) {
    additions.push_back(linear(linear(x, adapter.a), adapter.b));
  }
  return y + at::cat(additions, 1).mul(adapter_scale_);
}

at::Tensor LlamaModel::forward(const ModelInput& input, at::Tensor* last_qkv) {
  const auto eps = static_cast<float>(shape_.norm_eps);
  at::Tensor x = embed(input.tokens, embedding_);
  at::Tensor branch, normed;
  for (Layer& layer : layers_) {
    std::tie(x, normed) = add_norm(x, branch, layer.attention_norm, eps, type_);
    const at::Tensor qkv = project(normed, layer.qkv, layer.on_qkv);
    if (last_qkv != nullptr) *last_qkv = qkv;
    branch = project(attention(qkv, input.layout, rotary_), layer.output, layer.on_output);
    std::tie(x, normed) = add_norm(x, branch, layer.ffn_norm, eps, type_);
    const at::Tensor gate_up = project(normed, layer.gate_up, layer.on_gate_up);
    branch = project(swiglu(gate_up), layer.down, layer.on_down);
  }
  const at::Tensor last = add_norm(x, branch, final_norm_, eps, type_).second;
  return round_activations_ ? round_activations(last) : last;
}

at::Tensor LlamaModel::logits(const ModelInput& input) {
  const at::NoGradGuard no_grad;
  return linear(forward(input), head()).to(at::kFloat);
}

void LlamaModel::add_adapters_to(const Weight& weight, std::vector<Adapter>& adapters,
                                 uint64_t seed) {
  for (const WeightPart& part : weight.parts) {
    Adapter adapter = {
        .a = make_weight({{adapter_name(part.name, true), adapter_rank_}}, weight.master.size(1)),
        .b = make_weight({{adapter_name(part.name, false), part.rows}}, adapter_rank_)};
    const double deviation = 1 / std::sqrt(static_cast<double>(weight.master.size(1)));
    fill_gaussian(adapter.a.master, deviation, seed, adapters.size());
    freeze(adapter.a, true);
    freeze(adapter.b, true);
    adapters.push_back(std::move(adapter));
  }
}

void LlamaModel::add_adapters(const LoraSettings& settings, uint64_t seed) {
  adapter_rank_ = settings.rank;
  adapter_scale_ = static_cast<float>(settings.alpha / static_cast<double>(settings.rank));
  Rng seeds(seed);
  for (Layer& layer : layers_) {
    add_adapters_to(layer.qkv, layer.on_qkv, seeds.next_u64());
    add_adapters_to(layer.output, layer.on_output, seeds.next_u64());
    add_adapters_to(layer.gate_up, layer.on_gate_up, seeds.next_u64());
    add_adapters_to(layer.down, layer.on_down, seeds.next_u64());
  }
  refresh();
}

}  // namespace brisk::train
