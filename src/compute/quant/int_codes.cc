#include "compute/quant/int_codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "compute/quant/scaled_codes.h"
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

bool is_of(const IntScheme& scheme, const ScaledMatrix& matrix) {
  const bool whole = matrix.group_inputs >= matrix.inputs;
  return matrix.code == ScaledMatrix::Code::kInteger && matrix.codes.bits == scheme.bits &&
         matrix.group_of.empty() && matrix.group_outputs == 1 &&
         (scheme.group == 0 ? whole : scheme.group == matrix.group_inputs);
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

std::vector<uint32_t> packed_words(int bits, std::span<const uint8_t> codes, int64_t inputs) {
  const int64_t each = 32 / bits, words = ceil_div(inputs, each);
  const int64_t outputs = std::ssize(codes) / inputs;
  std::vector<uint32_t> packed(static_cast<size_t>(outputs * words));
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t i = 0; i < inputs; ++i) {
      packed[static_cast<size_t>(o * words + i / each)] |=
          uint32_t{codes[static_cast<size_t>(o * inputs + i)]} << (i % each * bits);
    }
  }
  return packed;
}

ScaledRows scaled_rows(const IntScheme& scheme, const IntCodes& codes) {
  const std::vector<uint32_t> words = packed_words(scheme.bits, codes.codes, codes.inputs);
  const size_t word_bytes = words.size() * sizeof(uint32_t);
  const size_t scale_bytes = codes.scales.size() * sizeof(float);
  ScaledRows rows;
  rows.memory = std::make_unique<std::byte[]>(word_bytes + scale_bytes + codes.zeros.size());
  std::byte* const scales = rows.memory.get() + word_bytes;
  std::memcpy(rows.memory.get(), words.data(), word_bytes);
  std::memcpy(scales, codes.scales.data(), scale_bytes);
  const int64_t groups = int_groups(scheme, codes.inputs);
  ScaledMatrix matrix = {.inputs = codes.inputs};
  matrix.codes = {.data = rows.memory.get(),
                  .bits = scheme.bits,
                  .line_bytes = 4 * std::ssize(words) / codes.outputs};
  matrix.group_inputs = scheme.group == 0 ? codes.inputs : scheme.group;
  matrix.scales = scales;
  matrix.scale_output_stride = groups;
  matrix.zero = 1 << (scheme.bits - 1);
  if (!codes.zeros.empty()) {
    std::byte* const zeros = scales + scale_bytes;
    std::memcpy(zeros, codes.zeros.data(), codes.zeros.size());
    matrix.zeros = IntGrid{.data = zeros, .bits = 8, .line_bytes = groups};
    matrix.zero = 0;
  }
  matrix.side_bytes = static_cast<int64_t>(scale_bytes + codes.zeros.size());
  rows.tensor = {.dtype = DType::kScaled,
                 .shape = {codes.outputs, codes.inputs},
                 .data = {rows.memory.get(), word_bytes}};
  rows.tensor.scaled = std::make_shared<const ScaledMatrix>(std::move(matrix));
  return rows;
}

std::optional<IntCodes> codes_of(const IntScheme& scheme, const Tensor& matrix,
                                 const std::function<int64_t(int64_t output)>& row_of) {
  if (matrix.scaled == nullptr || !is_of(scheme, *matrix.scaled)) return std::nullopt;
  const ScaledMatrix& scaled = *matrix.scaled;
  IntCodes codes = sized_codes(scheme, matrix.shape.front(), scaled.inputs);
  const int64_t groups = int_groups(scheme, scaled.inputs);
  for (int64_t o = 0; o < codes.outputs; ++o) {
    const int64_t row = row_of(o);
    read_scaled_codes(scaled, row, 0, scaled.inputs, codes.codes.data() + o * scaled.inputs);
    for (int64_t g = 0; g < groups; ++g) {
      const auto at = static_cast<size_t>(o * groups + g);
      const int zero = zero_of(scaled, row, g);
      codes.scales[at] = scale_of(scaled, row, g);
      if (rounded_scale(scheme.scale_dtype, codes.scales[at]) != codes.scales[at]) {
        return std::nullopt;
      }
      if (zero < 0 || zero >= 1 << scheme.bits) return std::nullopt;
      if (scheme.symmetric && zero != 1 << (scheme.bits - 1)) return std::nullopt;
      if (!scheme.symmetric) codes.zeros[at] = static_cast<uint8_t>(zero);
    }
  }
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
