#include "compress/evaluate/token_scores.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace brisk {
namespace {

// The largest logit and ln sum(exp(logit - largest)).
struct Softmax {
  size_t best = 0;
  double top = 0;
  double log_sum = 0;

  double nats(std::span<const float> logits, int32_t token) const {
    return log_sum + top - static_cast<double>(logits[static_cast<size_t>(token)]);
  }
};

Softmax softmax_of(std::span<const float> logits) {
  const auto best = static_cast<size_t>(std::ranges::max_element(logits) - logits.begin());
  const double top = logits[best];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return {.best = best, .top = top, .log_sum = std::log(sum)};
}

}  // namespace

TokenScore score_token(std::span<const float> logits, int32_t token) {
  return {.nats = softmax_of(logits).nats(logits, token)};
}

TokenScore score_token(std::span<const float> logits, std::span<const float> reference,
                       int32_t token) {
  const Softmax model = softmax_of(logits), truth = softmax_of(reference);
  double difference = 0;  // sum of p (ln p - ln q), normalisers aside
  for (size_t i = 0; i < logits.size(); ++i) {
    const double p = static_cast<double>(reference[i]) - truth.top;
    const double q = static_cast<double>(logits[i]) - model.top;
    if (const double weight = std::exp(p - truth.log_sum); weight > 0) {
      difference += weight * (p - q);
    }
  }
  // Rounding may leave a little less than nothing between equal rows; NaN stays NaN.
  const double kl = difference - truth.log_sum + model.log_sum;
  return {.nats = model.nats(logits, token),
          .reference_nats = truth.nats(reference, token),
          .kl = kl < 0 ? 0 : kl,
          .flipped = model.best != truth.best};
}

}  // namespace brisk
