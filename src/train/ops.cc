#include "train/ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "train/gemm.h"

namespace brisk::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

constexpr int64_t kGrainRows = 64;  // rows a thread takes at least

const Kernels& kernels_of(const at::Tensor& tensor) { return kernels_for(compute_type(tensor)); }

// Runs kernel(args, begin, end) over all rows on all threads.
template <class Args>
void over_rows(void (*kernel)(const Args&, int64_t, int64_t), const Args& args, int64_t rows) {
  at::parallel_for(0, rows, kGrainRows,
                   [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

template <class T>
int64_t pointer_value(T* pointer) {
  return reinterpret_cast<int64_t>(pointer);
}

Weight& weight_in(AutogradContext* context) {
  return *reinterpret_cast<Weight*>(context->saved_data["weight"].toInt());
}

constexpr int64_t kPartials = 32;  // sums of weight gradients, whatever the number of threads

struct AddNormFunction : Function<AddNormFunction> {
  static variable_list forward(AutogradContext* context, const Variable& x,
                               const c10::optional<at::Tensor>& added, Weight* weight, double eps,
                               int64_t type) {
    const at::Tensor delta = added.value_or(at::Tensor());
    const int64_t rows = x.size(0), width = x.size(1);
    const auto compute = static_cast<ComputeType>(type);
    at::Tensor sum = at::empty_like(x);
    at::Tensor output = at::empty({rows, width}, x.options().dtype(scalar_type(compute)));
    at::Tensor inverse_rms = at::empty({rows}, x.options());
    over_rows(kernels_for(compute).add_norm,
              {.input = x.data_ptr<float>(),
               .delta = delta.defined() ? delta.data_ptr() : nullptr,
               .weight = weight->master.data_ptr<float>(),
               .sum = sum.data_ptr<float>(),
               .output = output.data_ptr(),
               .inverse_rms = inverse_rms.data_ptr<float>(),
               .width = width,
               .eps = static_cast<float>(eps)},
              rows);
    context->saved_data["weight"] = pointer_value(weight);
    context->saved_data["has_delta"] = delta.defined();
    context->saved_data["sum"] = sum.detach();
    context->saved_data["inverse_rms"] = inverse_rms;
    return {sum, output};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    Weight& weight = weight_in(context);
    const at::Tensor sum = context->saved_data["sum"].toTensor();
    const at::Tensor inverse_rms = context->saved_data["inverse_rms"].toTensor();
    const bool has_delta = context->saved_data["has_delta"].toBool();
    const at::Tensor from_output = grads[1].contiguous();
    const at::Tensor from_sum = grads[0].defined() ? grads[0].contiguous() : grads[0];
    const int64_t rows = sum.size(0), width = sum.size(1);
    at::Tensor input_grad = at::empty_like(sum);
    at::Tensor delta_grad = has_delta ? at::empty_like(from_output) : at::Tensor();
    at::Tensor partial = at::zeros({kPartials, width}, sum.options());
    const int64_t share = (rows + kPartials - 1) / kPartials;
    at::parallel_for(0, kPartials, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        kernels_of(from_output)
            .add_norm_grad({.sum = sum.data_ptr<float>(),
                            .weight = weight.master.data_ptr<float>(),
                            .inverse_rms = inverse_rms.data_ptr<float>(),
                            .sum_grad = from_sum.defined() ? from_sum.data_ptr<float>() : nullptr,
                            .output_grad = from_output.data_ptr(),
                            .input_grad = input_grad.data_ptr<float>(),
                            .delta_grad = has_delta ? delta_grad.data_ptr() : nullptr,
                            .weight_grad = partial.data_ptr<float>() + i * width,
                            .width = width},
                           std::min(rows, i * share), std::min(rows, (i + 1) * share));
      }
    });
    if (weight.trains()) weight.grad.add_(partial.sum(0));
    return {input_grad, delta_grad, Variable(), Variable(), Variable()};
  }
};

struct LinearFunction : Function<LinearFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, Weight* weight) {
    context->saved_data["weight"] = pointer_value(weight);
    if (weight->trains()) context->saved_data["x"] = x.detach();
    return product_transposed(x, weight->compute);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    Weight& weight = weight_in(context);
    const at::Tensor grad = grads[0].contiguous();
    if (weight.trains()) {
      add_transposed_product(grad, context->saved_data["x"].toTensor(), weight.grad);
    }
    at::Tensor x_grad;
    if (context->needs_input_grad(0)) x_grad = product(grad, weight.compute);
    return {x_grad, Variable()};
  }
};

SplitHeads heads_of(const BatchLayout& layout, const RotaryTable& rotary) {
  return {.shape = layout.heads,
          .positions = layout.positions.data_ptr<int32_t>(),
          .cos = rotary.cos.data_ptr<float>(),
          .sin = rotary.sin.data_ptr<float>()};
}

struct AttentionFunction : Function<AttentionFunction> {
  static Variable forward(AutogradContext* context, const Variable& qkv, const BatchLayout* layout,
                          const RotaryTable* rotary) {
    const HeadShape& shape = layout->heads;
    const int64_t tokens = qkv.size(0), sequences = tokens / shape.sequence;
    const int64_t stack = sequences * shape.kv_heads, group = shape.heads / shape.kv_heads;
    at::Tensor q = at::empty({stack, group * shape.sequence, shape.head_dim}, qkv.options());
    at::Tensor k = at::empty({stack, shape.sequence, shape.head_dim}, qkv.options());
    at::Tensor v = at::empty_like(k);
    const Kernels& kernels = kernels_of(qkv);
    SplitHeads split = heads_of(*layout, *rotary);
    split.qkv = qkv.data_ptr();
    split.q = q.data_ptr();
    split.k = k.data_ptr();
    split.v = v.data_ptr();
    over_rows(kernels.split_heads, split, tokens);
    at::Tensor probabilities = stacked_product(q, false, k, true);
    over_rows(kernels.softmax,
              {.shape = shape,
               .scores = probabilities.data_ptr(),
               .starts = layout->starts.data_ptr<int32_t>(),
               .scale = scale_of(shape)},
              stack * group * shape.sequence);
    at::Tensor apart = stacked_product(probabilities, false, v, false);
    at::Tensor merged = at::empty({tokens, shape.heads * shape.head_dim}, qkv.options());
    over_rows(kernels.merge_heads,
              {.shape = shape, .apart = apart.data_ptr(), .merged = merged.data_ptr()}, tokens);
    context->saved_data["layout"] = pointer_value(layout);
    context->saved_data["rotary"] = pointer_value(rotary);
    context->saved_data["q"] = q;
    context->saved_data["k"] = k;
    context->saved_data["v"] = v;
    context->saved_data["probabilities"] = probabilities;
    return merged;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto& layout =
        *reinterpret_cast<const BatchLayout*>(context->saved_data["layout"].toInt());
    const auto& rotary =
        *reinterpret_cast<const RotaryTable*>(context->saved_data["rotary"].toInt());
    const HeadShape& shape = layout.heads;
    const at::Tensor q = context->saved_data["q"].toTensor();
    const at::Tensor k = context->saved_data["k"].toTensor();
    const at::Tensor v = context->saved_data["v"].toTensor();
    const at::Tensor probabilities = context->saved_data["probabilities"].toTensor();
    const at::Tensor merged_grad = grads[0].contiguous();
    const Kernels& kernels = kernels_of(q);
    const int64_t tokens = merged_grad.size(0);
    at::Tensor apart_grad = at::empty_like(q);
    over_rows(kernels.merge_heads_grad,
              {.shape = shape, .apart = apart_grad.data_ptr(), .merged = merged_grad.data_ptr()},
              tokens);
    const at::Tensor v_grad = stacked_product(probabilities, true, apart_grad, false);
    at::Tensor score_grad = stacked_product(apart_grad, false, v, true);
    over_rows(kernels.softmax_grad,
              {.shape = shape,
               .probabilities = probabilities.data_ptr(),
               .grad = score_grad.data_ptr(),
               .starts = layout.starts.data_ptr<int32_t>(),
               .scale = scale_of(shape)},
              q.size(0) * q.size(1));
    const at::Tensor q_grad = stacked_product(score_grad, false, k, false);
    const at::Tensor k_grad = stacked_product(score_grad, true, q, false);
    at::Tensor qkv_grad =
        at::empty({tokens, (shape.heads + 2 * shape.kv_heads) * shape.head_dim}, q.options());
    SplitHeads split = heads_of(layout, rotary);
    split.qkv = qkv_grad.data_ptr();
    split.q = q_grad.data_ptr();
    split.k = k_grad.data_ptr();
    split.v = v_grad.data_ptr();
    over_rows(kernels.split_heads_grad, split, tokens);
    return {qkv_grad, Variable(), Variable()};
  }

  static float scale_of(const HeadShape& shape) {
    return 1 / std::sqrt(static_cast<float>(shape.head_dim));
  }
};

struct SwiGluFunction : Function<SwiGluFunction> {
  static Variable forward(AutogradContext* context, const Variable& gate_up) {
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    at::Tensor output = at::empty({rows, width}, gate_up.options());
    over_rows(kernels_of(gate_up).swiglu,
              {.gate_up = gate_up.data_ptr(), .output = output.data_ptr(), .width = width}, rows);
    context->saved_data["gate_up"] = gate_up.detach();
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const at::Tensor gate_up = context->saved_data["gate_up"].toTensor();
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor gate_up_grad = at::empty_like(gate_up);
    over_rows(kernels_of(gate_up).swiglu_grad,
              {.gate_up = gate_up.data_ptr(),
               .output_grad = grad.data_ptr(),
               .gate_up_grad = gate_up_grad.data_ptr(),
               .width = grad.size(1)},
              grad.size(0));
    return {gate_up_grad};
  }
};

struct RoundFunction : Function<RoundFunction> {
  static Variable forward(AutogradContext*, const Variable& x) {
    at::Tensor rounded = at::empty_like(x);
    over_rows(kernels_of(x).round_groups, {.input = x.data_ptr(), .output = rounded.data_ptr()},
              x.numel() / 32);
    return rounded;
  }

  static variable_list backward(AutogradContext*, const variable_list& grads) { return {grads[0]}; }
};

struct EmbedFunction : Function<EmbedFunction> {
  // `anchor` is a scalar that wants a gradient, so that autograd comes here.
  static Variable forward(AutogradContext* context, const Variable& anchor,
                          const at::Tensor& tokens, Weight* weight) {
    context->saved_data["weight"] = pointer_value(weight);
    context->saved_data["tokens"] = tokens;
    (void)anchor;
    return weight->seen.index_select(0, tokens);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    Weight& weight = weight_in(context);
    const at::Tensor tokens = context->saved_data["tokens"].toTensor();
    if (weight.trains()) {
      // In order of the tokens, on one thread: equal runs give equal bits.
      const at::Tensor grad = grads[0].contiguous();
      const int64_t width = grad.size(1);
      const auto* ids = tokens.data_ptr<int32_t>();
      const float* from = grad.data_ptr<float>();
      float* to = weight.grad.data_ptr<float>();
      for (int64_t i = 0; i < tokens.size(0); ++i, from += width) {
        float* row = to + ids[i] * width;
        for (int64_t j = 0; j < width; ++j) row[j] += from[j];
      }
    }
    return {Variable(), Variable(), Variable()};
  }
};

constexpr int64_t kLossRows = 1024;  // whose logits exist at once
constexpr float kBelowTop = 1e4f;    // how far cached teachers' other tokens are below the best

at::Tensor teacher_logits(const Targets& targets, int64_t begin, int64_t count, int64_t vocab) {
  if (targets.teacher_hidden.defined()) {
    return product_transposed(targets.teacher_hidden.narrow(0, begin, count), targets.teacher_head);
  }
  if (!targets.top_logits.defined()) return {};
  const at::Tensor top = targets.top_logits.narrow(0, begin, count);
  at::Tensor logits = at::empty({count, vocab}, top.options());
  logits.copy_(std::get<0>(top.max(1, /*keepdim=*/true)).sub(kBelowTop).expand({count, vocab}));
  logits.scatter_(1, targets.top_tokens.narrow(0, begin, count).to(at::kLong), top);
  return logits;
}

struct OutputLossFunction : Function<OutputLossFunction> {
  static Variable forward(AutogradContext* context, const Variable& hidden, Weight* head,
                          const Targets* targets, LossSums* sums, bool learns) {
    const int64_t rows = hidden.size(0), vocab = head->compute.size(0);
    at::Tensor hidden_grad = learns ? at::empty_like(hidden) : at::Tensor();
    at::Tensor losses = at::zeros({2, kLossRows}, at::kFloat);
    const double before = loss_of(*sums, *targets);
    for (int64_t begin = 0; begin < rows; begin += kLossRows) {
      const int64_t count = std::min(kLossRows, rows - begin);
      const at::Tensor part = hidden.narrow(0, begin, count);
      at::Tensor logits = product_transposed(part, head->compute);
      at::Tensor teacher = teacher_logits(*targets, begin, count, vocab);
      if (teacher.defined()) teacher = teacher.to(logits.scalar_type());
      const float* weights = targets->weights.data_ptr<float>() + begin;
      over_rows(kernels_of(logits).token_loss,
                {.logits = logits.data_ptr(),
                 .teacher_logits = teacher.defined() ? teacher.data_ptr() : nullptr,
                 .targets = targets->tokens.data_ptr<int32_t>() + begin,
                 .weights = weights,
                 .losses = losses.data_ptr<float>(),
                 .divergences = losses.data_ptr<float>() + kLossRows,
                 .vocab = vocab,
                 .alpha = targets->alpha,
                 .temperature = targets->temperature},
                count);
      const float* nats = losses.data_ptr<float>();
      for (int64_t i = 0; i < count; ++i) {
        sums->cross_entropy += static_cast<double>(weights[i]) * static_cast<double>(nats[i]);
        if (!teacher.defined()) continue;
        sums->divergence +=
            static_cast<double>(weights[i]) * static_cast<double>(nats[kLossRows + i]);
      }
      if (!learns) continue;
      hidden_grad.narrow(0, begin, count).copy_(product(logits, head->compute));
      if (head->trains()) add_transposed_product(logits, part, head->grad);
    }
    if (learns) context->saved_data["grad"] = hidden_grad;
    return at::full({}, loss_of(*sums, *targets) - before, at::kFloat);
  }

  static double loss_of(const LossSums& sums, const Targets& targets) {
    const auto alpha = static_cast<double>(targets.alpha);
    const auto temperature = static_cast<double>(targets.temperature);
    return (1 - alpha) * sums.cross_entropy + alpha * temperature * temperature * sums.divergence;
  }

  static variable_list backward(AutogradContext* context, const variable_list&) {
    return {context->saved_data["grad"].toTensor(), Variable(), Variable(), Variable(), Variable()};
  }
};

}  // namespace

at::ScalarType scalar_type(ComputeType type) {
  return type == ComputeType::kF32 ? at::kFloat : at::kBFloat16;
}

ComputeType compute_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat ? ComputeType::kF32 : ComputeType::kBF16;
}

at::Tensor embed(const at::Tensor& tokens, Weight& weight) {
  const at::Tensor anchor = at::zeros({}, at::kFloat).set_requires_grad(at::GradMode::is_enabled());
  return EmbedFunction::apply(anchor, tokens, &weight);
}

std::pair<at::Tensor, at::Tensor> add_norm(const at::Tensor& x, const at::Tensor& delta,
                                           Weight& weight, float eps, ComputeType type) {
  const c10::optional<at::Tensor> added =
      delta.defined() ? c10::optional<at::Tensor>(delta) : c10::nullopt;
  auto both = AddNormFunction::apply(x, added, &weight, static_cast<double>(eps),
                                     static_cast<int64_t>(type));
  return {both[0], both[1]};
}

at::Tensor linear(const at::Tensor& x, Weight& weight) { return LinearFunction::apply(x, &weight); }

at::Tensor attention(const at::Tensor& qkv, const BatchLayout& layout, const RotaryTable& rotary) {
  return AttentionFunction::apply(qkv, &layout, &rotary);
}

at::Tensor swiglu(const at::Tensor& gate_up) { return SwiGluFunction::apply(gate_up); }

at::Tensor round_activations(const at::Tensor& x) { return RoundFunction::apply(x); }

at::Tensor output_loss(const at::Tensor& hidden, Weight& head, const Targets& targets,
                       LossSums& sums) {
  return OutputLossFunction::apply(hidden, &head, &targets, &sums, at::GradMode::is_enabled());
}

}  // namespace brisk::train
