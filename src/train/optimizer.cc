#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "train/kernels.h"

namespace brisk::train {
namespace {

constexpr int64_t kChunk = 1 << 14;  // values that are summed, or moved, together

double sum_of_squares(const at::Tensor& tensor) {
  const float* values = tensor.data_ptr<float>();
  const int64_t count = tensor.numel(), chunks = (count + kChunk - 1) / kChunk;
  std::vector<double> sums(static_cast<size_t>(chunks));
  at::parallel_for(0, chunks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (int64_t j = i * kChunk; j < std::min(count, (i + 1) * kChunk); ++j) {
        sum += static_cast<double>(values[j]) * static_cast<double>(values[j]);
      }
      sums[static_cast<size_t>(i)] = sum;
    }
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

double learning_rate_at(const OptimizerSettings& settings, int64_t step) {
  const double high = settings.learning_rate, low = high * settings.learning_rate_end;
  if (step <= settings.warmup_steps) {
    return high * static_cast<double>(step) / static_cast<double>(settings.warmup_steps);
  }
  const int64_t rest = std::max<int64_t>(1, settings.steps - settings.warmup_steps);
  const double share = static_cast<double>(std::min(step, settings.steps) - settings.warmup_steps) /
                       static_cast<double>(rest);
  return low + (high - low) * 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(share, 0.0, 1.0)));
}

AdamW::AdamW(std::vector<Weight*> weights, const OptimizerSettings& settings)
    : settings_(settings) {
  for (Weight* weight : weights) {
    if (!weight->trains()) continue;
    weights_.push_back(weight);
    moments_.push_back(
        {.first = at::zeros_like(weight->master),
         .second = at::zeros_like(weight->master),
         .average = settings.average_decay > 0 ? weight->master.clone() : at::Tensor()});
  }
}

double AdamW::gradient_norm() const {
  double sum = 0;
  for (const Weight* weight : weights_) sum += sum_of_squares(weight->grad);
  return std::sqrt(sum);
}

void AdamW::use_averages() {
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (moments_[i].average.defined()) weights_[i]->master.copy_(moments_[i].average);
  }
}

double AdamW::step(int64_t step) {
  for (Weight* weight : weights_) {
    if (weight->mask.defined()) weight->grad.mul_(weight->mask);
  }
  const double norm = gradient_norm();
  if (!std::isfinite(norm)) return norm;
  const double rate = learning_rate_at(settings_, step);
  const double clip = settings_.clip > 0 && norm > settings_.clip ? settings_.clip / norm : 1;
  const auto count = static_cast<double>(step);
  // A young average follows its weights more closely.
  const double average_decay = std::min(settings_.average_decay, (1 + count) / (10 + count));
  const Kernels& kernels = kernels_for(ComputeType::kF32);
  for (size_t i = 0; i < weights_.size(); ++i) {
    Weight& weight = *weights_[i];
    Moments& moments = moments_[i];
    const bool averages = moments.average.defined();
    const AdamWStep args = {
        .master = weight.master.data_ptr<float>(),
        .grad = weight.grad.data_ptr<float>(),
        .first = moments.first.data_ptr<float>(),
        .second = moments.second.data_ptr<float>(),
        .average = averages ? moments.average.data_ptr<float>() : nullptr,
        .learning_rate = static_cast<float>(rate),
        .decay = weight.decays ? static_cast<float>(rate * settings_.weight_decay) : 0,
        .beta1 = static_cast<float>(settings_.beta1),
        .beta2 = static_cast<float>(settings_.beta2),
        .eps = static_cast<float>(settings_.eps),
        .correction1 = static_cast<float>(1 / (1 - std::pow(settings_.beta1, count))),
        .correction2 = static_cast<float>(1 / (1 - std::pow(settings_.beta2, count))),
        .grad_scale = static_cast<float>(clip),
        .average_decay = static_cast<float>(average_decay)};
    at::parallel_for(0, weight.master.numel(), kChunk,
                     [&](int64_t begin, int64_t end) { kernels.adamw(args, begin, end); });
    if (weight.mask.defined()) weight.master.mul_(weight.mask);
    weight.grad.zero_();
  }
  return norm;
}

}  // namespace brisk::train
