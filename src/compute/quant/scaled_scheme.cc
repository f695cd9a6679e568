#include "compute/quant/scaled_scheme.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/quant/codecs.h"
#include "compute/quant/format.h"
#include "compute/quant/scaled_codes.h"
#include "compute/quant/search.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

constexpr std::pair<std::string_view, ScaledScheme> kSchemes[] = {
    {"int4-g128", {.group = 128}},
    {"int4-g64", {.group = 64}},
    {"int4-g32", {.group = 32}},
    {"int4-g128-asym", {.group = 128, .symmetric = false}},
    {"int4-g64-asym", {.group = 64, .symmetric = false}},
    {"int4-g32-asym", {.group = 32, .symmetric = false}},
    {"w8a8", {.bits = 8, .group = 0, .rounds_activations = true}},
    {"fp8", {.bits = 8, .is_float = true, .group = 0, .rounds_activations = true}},
};

constexpr float kE4M3Max = 448;

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

int64_t width_of(const ScaledScheme& scheme, int64_t inputs) {
  return scheme.group == 0 ? inputs : scheme.group;
}

int middle_of(const ScaledScheme& scheme) { return 1 << (scheme.bits - 1); }
int largest_code(const ScaledScheme& scheme) { return (1 << scheme.bits) - 1; }

// As scales are stored. What cannot be told from zero there becomes 1: the group becomes zero.
float stored_scale(const ScaledScheme& scheme, float scale) {
  const float stored = rounded_scale(scheme.scale_dtype, scale);
  return stored == 0 ? 1 : stored;
}

// Those that cover the range.
GroupScale choose(const ScaledScheme& scheme, const GroupRange& range) {
  const float largest = std::max(-range.low, range.high);
  const int middle = middle_of(scheme);
  if (scheme.is_float) return {stored_scale(scheme, largest / kE4M3Max), middle};
  const auto steps = static_cast<float>(largest_code(scheme));
  const float span = scheme.symmetric ? 2 * largest : range.high - range.low;
  const float scale = stored_scale(scheme, span / steps);
  if (scheme.symmetric) return {scale, middle};
  return {scale, static_cast<int>(std::clamp(std::nearbyint(-range.low / scale), 0.0f, steps))};
}

uint8_t nearest_code(const ScaledScheme& scheme, float weight, const GroupScale& group) {
  if (scheme.is_float) return quant::f32_to_e4m3(weight / group.scale);
  const float code = std::nearbyint(weight / group.scale) + static_cast<float>(group.zero);
  return static_cast<uint8_t>(std::clamp(code, 0.0f, static_cast<float>(largest_code(scheme))));
}

// Where the parts of a tensor's memory begin.
struct Layout {
  int64_t line_bytes;  // of an output's codes, in whole words
  int64_t scales, zeros, end;
};

Layout layout_of(const ScaledScheme& scheme, int64_t outputs, int64_t inputs) {
  const int64_t groups = outputs * scaled_groups(scheme, inputs);
  Layout layout = {};
  layout.line_bytes = 4 * ceil_div<int64_t>(inputs, 32 / scheme.bits);
  layout.scales = outputs * layout.line_bytes;
  layout.zeros = layout.scales + bytes_of(scheme.scale_dtype, groups);
  layout.end = layout.zeros + (scheme.symmetric ? 0 : groups);
  return layout;
}

}  // namespace

std::optional<ScaledScheme> scaled_scheme(std::string_view name) {
  for (const auto& [known, scheme] : kSchemes) {
    if (known == name) return scheme;
  }
  return std::nullopt;
}

std::string_view name_of(const ScaledScheme& scheme) {
  for (const auto& [name, known] : kSchemes) {
    if (known.bits == scheme.bits && known.is_float == scheme.is_float &&
        known.group == scheme.group && known.symmetric == scheme.symmetric) {
      return name;
    }
  }
  return "scaled";
}

std::string_view scaled_scheme_names() {
  return "int4-g128, int4-g64, int4-g32, each also with -asym, w8a8, fp8";
}

int64_t scaled_groups(const ScaledScheme& scheme, int64_t inputs) {
  return scheme.group == 0 ? 1 : ceil_div(inputs, scheme.group);
}

double bits_per_weight(const ScaledScheme& scheme, int64_t inputs) {
  const int64_t zero_bits = scheme.symmetric ? 0 : scheme.bits;
  const int64_t sides = (8 * bytes_of(scheme.scale_dtype, 1) + zero_bits);
  return scheme.bits +
         static_cast<double>(sides * scaled_groups(scheme, inputs)) / static_cast<double>(inputs);
}

ScaledCodes sized_codes(const ScaledScheme& scheme, int64_t outputs, int64_t inputs) {
  ScaledCodes codes = {
      .outputs = outputs, .inputs = inputs, .codes = {}, .scales = {}, .zeros = {}};
  const int64_t groups = outputs * scaled_groups(scheme, inputs);
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

GroupScale fit_group(const ScaledScheme& scheme, std::span<const float> weights,
                     const float* importance, bool search) {
  GroupScale fit = choose(scheme, range_of(weights));
  if (search && !scheme.is_float) {
    const std::optional<int> fixed =
        scheme.symmetric ? std::optional(middle_of(scheme)) : std::nullopt;
    const quant::ZeroPointFit found =
        quant::search_zero_point(weights, importance, largest_code(scheme), fixed);
    fit = {stored_scale(scheme, found.scale), found.zero};
  }
  // Weights that were made up for may leave what f16 holds; they are clipped then.
  constexpr float kF16Max = 65504;
  if (!std::isfinite(fit.scale)) fit.scale = scheme.scale_dtype == DType::kF16 ? kF16Max : 0x1p120f;
  return fit;
}

int64_t scaled_bytes(const ScaledScheme& scheme, int64_t outputs, int64_t inputs) {
  return layout_of(scheme, outputs, inputs).end;
}

Tensor scaled_tensor(const ScaledScheme& scheme, int64_t outputs, int64_t inputs,
                     std::span<const std::byte> memory) {
  const Layout layout = layout_of(scheme, outputs, inputs);
  ScaledMatrix matrix = {.inputs = inputs};
  if (scheme.is_float) matrix.code = ScaledMatrix::Code::kF8E4M3;
  matrix.codes = {.data = memory.data(), .bits = scheme.bits, .line_bytes = layout.line_bytes};
  matrix.group_inputs = width_of(scheme, inputs);
  matrix.scales = memory.data() + layout.scales;
  matrix.scale_dtype = scheme.scale_dtype;
  matrix.scale_output_stride = scaled_groups(scheme, inputs);
  matrix.zero = middle_of(scheme);
  if (!scheme.symmetric) {
    matrix.zeros = IntGrid{.data = memory.data() + layout.zeros,
                           .bits = 8,
                           .line_bytes = scaled_groups(scheme, inputs)};
    matrix.zero = 0;
  }
  matrix.side_bytes = layout.end - layout.scales;
  Tensor tensor = {.dtype = DType::kScaled,
                   .shape = {outputs, inputs},
                   .data = memory.first(static_cast<size_t>(layout.scales))};
  tensor.scaled = std::make_shared<const ScaledMatrix>(std::move(matrix));
  return tensor;
}

void put_codes(const ScaledScheme& scheme, const ScaledCodes& codes, int64_t first, int64_t outputs,
               std::span<std::byte> memory) {
  const Layout layout = layout_of(scheme, outputs, codes.inputs);
  BRISK_CHECK(std::ssize(memory) == layout.end && first + codes.outputs <= outputs);
  const std::vector<uint32_t> words = packed_words(scheme.bits, codes.codes, codes.inputs);
  std::memcpy(memory.data() + first * layout.line_bytes, words.data(), 4 * words.size());
  const int64_t group = first * scaled_groups(scheme, codes.inputs);
  std::byte* const scales = memory.data() + layout.scales + bytes_of(scheme.scale_dtype, group);
  const auto count = std::ssize(codes.scales);
  if (scheme.scale_dtype == DType::kF16) {
    quant::encode_f16(codes.scales.data(), count, scales);
  } else {
    quant::encode_bf16(codes.scales.data(), count, scales);
  }
  if (codes.zeros.empty()) return;
  std::memcpy(memory.data() + layout.zeros + group, codes.zeros.data(), codes.zeros.size());
}

bool is_in_scheme(const ScaledScheme& scheme, const ScaledMatrix& matrix) {
  const bool whole = matrix.group_inputs >= matrix.inputs;
  const bool is_float = matrix.code == ScaledMatrix::Code::kF8E4M3;
  return is_float == scheme.is_float && matrix.codes.bits == scheme.bits &&
         matrix.group_of.empty() && matrix.group_outputs == 1 &&
         (scheme.group == 0 ? whole : scheme.group == matrix.group_inputs);
}

std::optional<ScaledCodes> codes_of(const ScaledScheme& scheme, const Tensor& matrix,
                                    int64_t outputs,
                                    const std::function<int64_t(int64_t output)>& row_of) {
  if (matrix.scaled == nullptr || !is_in_scheme(scheme, *matrix.scaled)) return std::nullopt;
  const ScaledMatrix& scaled = *matrix.scaled;
  ScaledCodes codes = sized_codes(scheme, outputs, scaled.inputs);
  const int64_t groups = scaled_groups(scheme, scaled.inputs);
  for (int64_t o = 0; o < codes.outputs; ++o) {
    const int64_t row = row_of(o);
    read_scaled_codes(scaled, row, 0, scaled.inputs, codes.codes.data() + o * scaled.inputs);
    for (int64_t g = 0; g < groups; ++g) {
      const auto at = static_cast<size_t>(o * groups + g);
      codes.scales[at] = scale_of(scaled, row, g);
      if (rounded_scale(scheme.scale_dtype, codes.scales[at]) != codes.scales[at]) {
        return std::nullopt;
      }
      if (scheme.is_float) continue;
      const int zero = zero_of(scaled, row, g);
      if (zero < 0 || zero > largest_code(scheme)) return std::nullopt;
      if (scheme.symmetric && zero != middle_of(scheme)) return std::nullopt;
      if (!scheme.symmetric) codes.zeros[at] = static_cast<uint8_t>(zero);
    }
  }
  return codes;
}

absl::Status round_to_nearest(const ScaledScheme& scheme, std::span<const float> weights,
                              int64_t first, ScaledCodes* out) {
  const int64_t groups = scaled_groups(scheme, out->inputs);
  const int64_t width = width_of(scheme, out->inputs);
  const int64_t outputs = std::ssize(weights) / out->inputs;
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t begin = o * out->inputs + g * width;
      const int64_t count = std::min(width, out->inputs - g * width);
      const auto group = weights.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      const GroupRange range = range_of(group);
      const GroupScale fit = choose(scheme, range);
      if (!range.finite || !std::isfinite(fit.scale)) {
        return invalid_input(
            "output {} has {}; it cannot be rounded to integers", first + o,
            range.finite ? "weights beyond what its scales can be" : "weights that are no numbers");
      }
      const auto at = static_cast<size_t>((first + o) * groups + g);
      out->scales[at] = fit.scale;
      if (!scheme.symmetric) out->zeros[at] = static_cast<uint8_t>(fit.zero);
      uint8_t* const codes = out->codes.data() + (first + o) * out->inputs + g * width;
      for (int64_t i = 0; i < count; ++i) {
        codes[i] = nearest_code(scheme, group[static_cast<size_t>(i)], fit);
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ScaledCodes> round_to_nearest(const ScaledScheme& scheme,
                                             std::span<const float> weights, int64_t inputs) {
  ScaledCodes codes = sized_codes(scheme, std::ssize(weights) / inputs, inputs);
  BRISK_RETURN_IF_ERROR(round_to_nearest(scheme, weights, 0, &codes));
  return codes;
}

}  // namespace brisk
