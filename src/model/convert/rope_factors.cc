#include "model/convert/rope_factors.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace brisk {
namespace {

// Positions that a wave takes to turn once, of pair `pair`.
double wave_length(const ModelConfig& config, size_t pair) {
  const double exponent = 2.0 * static_cast<double>(pair) / static_cast<double>(config.rotary_dim);
  return 2 * std::numbers::pi * std::pow(config.rope_theta, exponent);
}

bool gives(const ModelConfig& config, const RopeScaling& scaling, std::span<const float> factors) {
  constexpr float kTolerance = 1e-5f;  // writers compute them in f32
  ModelConfig candidate = config;
  candidate.rope_scaling = scaling;
  const std::vector<float> expected = llama3_rope_factors(candidate);
  return std::equal(factors.begin(), factors.end(), expected.begin(), expected.end(),
                    [](float a, float b) { return std::abs(a - b) <= kTolerance * std::abs(b); });
}

// How much of a blended pair is kept: 1 at the high frequencies' end, 0 at the low ones'.
double kept_share(float factor, double factor_max) {
  return (1 / static_cast<double>(factor) - 1 / factor_max) / (1 - 1 / factor_max);
}

// Original contexts with which a pair is blended as `factors` say, or cut as they are.
std::vector<double> original_contexts(const ModelConfig& config, const RopeScaling& scaling,
                                      std::span<const float> factors) {
  std::vector<double> contexts = {8192};  // of every published Llama 3
  double longest_kept = 0;
  for (size_t i = 0; i < factors.size(); ++i) {
    if (factors[i] == 1) longest_kept = wave_length(config, i);
    if (factors[i] == 1 || static_cast<double>(factors[i]) == scaling.factor) continue;
    const double band = scaling.high_freq_factor - scaling.low_freq_factor;
    const double kept = kept_share(factors[i], scaling.factor);
    contexts.push_back(wave_length(config, i) * (scaling.low_freq_factor + kept * band));
  }
  contexts.push_back(longest_kept * scaling.high_freq_factor + 1);
  return contexts;
}

// Where two pairs are blended, they tell the width of the band. It and the original context are
// known up to a common multiple, which is chosen so that the low factor is 1.
void fit_band(const ModelConfig& config, std::span<const float> factors, RopeScaling& scaling) {
  std::vector<std::pair<double, double>> blended;  // (1 / wave length, kept share)
  for (size_t i = 0; i < factors.size(); ++i) {
    if (factors[i] == 1 || static_cast<double>(factors[i]) == scaling.factor) continue;
    blended.emplace_back(1 / wave_length(config, i), kept_share(factors[i], scaling.factor));
  }
  if (blended.size() < 2) return;
  const auto [x0, y0] = blended.front();
  const auto [x1, y1] = blended.back();
  const double slope = (y1 - y0) / (x1 - x0);  // original / (high - low)
  const double below = slope * x0 - y0;        // low / (high - low)
  if (!(below > 0)) return;
  scaling.low_freq_factor = 1;
  scaling.high_freq_factor = 1 + std::round(1000 / below) / 1000;
}

}  // namespace

// Llama team 2024, and transformers' rope_type "llama3": waves shorter than a part of the original
// context stay, much longer ones are stretched, those between blend.
std::vector<float> llama3_rope_factors(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto original = static_cast<double>(scaling.original_context_length);
  std::vector<float> factors;
  for (size_t i = 0; i < static_cast<size_t>(config.rotary_dim / 2); ++i) {
    const double length = wave_length(config, i);
    double factor = 1;
    if (length > original / scaling.low_freq_factor) {
      factor = scaling.factor;
    } else if (length >= original / scaling.high_freq_factor) {
      const double smooth = (original / length - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
      factor = 1 / ((1 - smooth) / scaling.factor + smooth);
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

std::optional<RopeScaling> rope_scaling_of(const ModelConfig& config,
                                           std::span<const float> factors) {
  if (factors.size() != static_cast<size_t>(config.rotary_dim / 2) || factors.empty()) {
    return std::nullopt;
  }
  const auto [least, most] = std::minmax_element(factors.begin(), factors.end());
  RopeScaling scaling;
  scaling.factor = static_cast<double>(*most);
  if (!(*least > 0) || !std::isfinite(*most)) return std::nullopt;
  if (*least == *most) {
    scaling.kind = *most == 1 ? RopeScaling::Kind::kNone : RopeScaling::Kind::kLinear;
    return scaling;
  }
  scaling.kind = RopeScaling::Kind::kLlama3;
  for (const bool fitted : {false, true}) {
    scaling.low_freq_factor = 1;
    scaling.high_freq_factor = 4;
    if (fitted) fit_band(config, factors, scaling);
    for (const double context : original_contexts(config, scaling, factors)) {
      if (!(context >= 1 && context < 1e9)) continue;
      scaling.original_context_length = std::llround(context);
      if (gives(config, scaling, factors)) return scaling;
    }
  }
  return std::nullopt;
}

}  // namespace brisk
