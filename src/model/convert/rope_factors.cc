#include "model/convert/rope_factors.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace brisk {

// Llama team 2024, and transformers' rope_type "llama3": waves shorter than a part of the original
// context stay, much longer ones are stretched, those between blend.
std::vector<float> llama3_rope_factors(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto original = static_cast<double>(scaling.original_context_length);
  std::vector<float> factors;
  for (int64_t i = 0; i < config.rotary_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(config.rotary_dim);
    const double wave_length = 2 * std::numbers::pi * std::pow(config.rope_theta, exponent);
    double factor = 1;
    if (wave_length > original / scaling.low_freq_factor) {
      factor = scaling.factor;
    } else if (wave_length >= original / scaling.high_freq_factor) {
      const double smooth = (original / wave_length - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
      factor = 1 / ((1 - smooth) / scaling.factor + smooth);
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

std::optional<RopeScaling> llama3_scaling_of(const ModelConfig& config,
                                             std::span<const float> factors) {
  if (factors.empty()) return std::nullopt;
  ModelConfig candidate = config;
  RopeScaling& scaling = candidate.rope_scaling;
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.factor = static_cast<double>(*std::max_element(factors.begin(), factors.end()));
  scaling.low_freq_factor = 1;
  scaling.high_freq_factor = 4;
  scaling.original_context_length = 8192;
  const std::vector<float> expected = llama3_rope_factors(candidate);
  const bool equal =
      std::equal(factors.begin(), factors.end(), expected.begin(), expected.end(),
                 [](float a, float b) { return std::abs(a - b) <= 1e-3f * std::abs(b); });
  if (!equal) return std::nullopt;
  return scaling;
}

}  // namespace brisk
