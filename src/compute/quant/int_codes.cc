#include "compute/quant/int_codes.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

constexpr std::pair<std::string_view, IntScheme> kSchemes[] = {
    {"int4-g128", {.group = 128}},
    {"int4-g64", {.group = 64}},
    {"int4-g32", {.group = 32}},
    {"int4-g128-asym", {.group = 128, .symmetric = false}},
    {"int4-g64-asym", {.group = 64, .symmetric = false}},
    {"int4-g32-asym", {.group = 32, .symmetric = false}},
    {"w8a8", {.bits = 8, .group = 0, .rounds_activations = true}},
};

float rounded_scale(DType dtype, float scale) {
  return dtype == DType::kF16 ? f16_to_f32(f32_to_f16(scale)) : bf16_to_f32(f32_to_bf16(scale));
}

struct GroupRange {
  float low = 0, high = 0;  // zero included
  bool finite = true;
};

GroupRange range_of(std::span<const float> group) {
  GroupRange range;
  for (const float weight : group) {
    range.finite &= std::isfinite(weight);
    range.low = std::min(range.low, weight);
    range.high = std::max(range.high, weight);
  }
  return range;
}

// The scale and the zero point of a group. A group of zeros, and one whose scale is below what its
// format holds, has the scale 1 and becomes zero.
std::pair<float, int> choose(const IntScheme& scheme, const GroupRange& range) {
  const auto steps = static_cast<float>((1 << scheme.bits) - 1);
  const float span =
      scheme.symmetric ? 2 * std::max(-range.low, range.high) : range.high - range.low;
  float scale = rounded_scale(scheme.scale_dtype, span / steps);
  if (scale == 0) scale = 1;
  if (scheme.symmetric) return {scale, 1 << (scheme.bits - 1)};
  return {scale, static_cast<int>(std::clamp(std::nearbyint(-range.low / scale), 0.0f, steps))};
}

}  // namespace

std::optional<IntScheme> int_scheme(std::string_view name) {
  for (const auto& [known, scheme] : kSchemes) {
    if (known == name) return scheme;
  }
  return std::nullopt;
}

std::string_view int_scheme_names() {
  return "int4-g128, int4-g64, int4-g32, each also with -asym, w8a8";
}

int64_t int_groups(const IntScheme& scheme, int64_t inputs) {
  return scheme.group == 0 ? 1 : ceil_div(inputs, scheme.group);
}

IntCodes sized_codes(const IntScheme& scheme, int64_t outputs, int64_t inputs) {
  IntCodes codes = {.outputs = outputs, .inputs = inputs, .codes = {}, .scales = {}, .zeros = {}};
  const int64_t groups = outputs * int_groups(scheme, inputs);
  codes.codes.resize(static_cast<size_t>(outputs * inputs));
  codes.scales.resize(static_cast<size_t>(groups));
  if (!scheme.symmetric) codes.zeros.resize(static_cast<size_t>(groups));
  return codes;
}

absl::Status round_to_nearest(const IntScheme& scheme, std::span<const float> weights,
                              int64_t first, IntCodes* out) {
  const int64_t groups = int_groups(scheme, out->inputs);
  const int64_t width = scheme.group == 0 ? out->inputs : scheme.group;
  const auto most = static_cast<float>((1 << scheme.bits) - 1);
  const int64_t outputs = std::ssize(weights) / out->inputs;
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t begin = o * out->inputs + g * width;
      const int64_t count = std::min(width, out->inputs - g * width);
      const auto group = weights.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      const GroupRange range = range_of(group);
      const auto [scale, zero] = choose(scheme, range);
      if (!range.finite || !std::isfinite(scale)) {
        return invalid_input(
            "output {} has {}; it cannot be rounded to integers", first + o,
            range.finite ? "weights beyond what its scales can be" : "weights that are no numbers");
      }
      const auto at = static_cast<size_t>((first + o) * groups + g);
      out->scales[at] = scale;
      if (!scheme.symmetric) out->zeros[at] = static_cast<uint8_t>(zero);
      uint8_t* const codes = out->codes.data() + (first + o) * out->inputs + g * width;
      for (int64_t i = 0; i < count; ++i) {
        const float code =
            std::nearbyint(group[static_cast<size_t>(i)] / scale) + static_cast<float>(zero);
        codes[i] = static_cast<uint8_t>(std::clamp(code, 0.0f, most));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<IntCodes> round_to_nearest(const IntScheme& scheme, std::span<const float> weights,
                                          int64_t inputs) {
  IntCodes codes = sized_codes(scheme, std::ssize(weights) / inputs, inputs);
  BRISK_RETURN_IF_ERROR(round_to_nearest(scheme, weights, 0, &codes));
  return codes;
}

}  // namespace brisk
