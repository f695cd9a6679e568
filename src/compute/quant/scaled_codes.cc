#include "compute/quant/scaled_codes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/units.h"
#include "compute/kernels/cpu/panels.h"
#include "compute/quant/codecs.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

float load_scale(DType dtype, const std::byte* scales, int64_t index) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, scales + 4 * index, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, scales + 2 * index, sizeof bits);
  return dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

// Inputs [begin, end) of an output, which share a scale.
void decode_run(const ScaledMatrix& matrix, int64_t output, int64_t begin, int64_t end,
                float* out) {
  constexpr int64_t kRun = 256;
  const int64_t group = begin / matrix.group_inputs;
  const float scale = scale_of(matrix, output, group);
  const int zero = zero_of(matrix, output, group);
  uint8_t codes[kRun];
  for (int64_t at = begin; at < end; at += kRun, out += kRun) {
    const int64_t count = std::min(kRun, end - at);
    read_scaled_codes(matrix, output, at, count, codes);
    if (matrix.code == ScaledMatrix::Code::kF8E4M3) {
      quant::decode_f8_e4m3(reinterpret_cast<const std::byte*>(codes), count, out);
      for (int64_t i = 0; i < count; ++i) out[i] *= scale;
    } else {
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(codes[i] - zero) * scale;
    }
  }
}

// Groups are not runs: each input by itself.
void decode_scattered(const ScaledMatrix& matrix, int64_t output, int64_t begin, int64_t end,
                      float* out) {
  for (int64_t i = begin; i < end; ++i) {
    const int32_t group = matrix.group_of[static_cast<size_t>(i)];
    const int code =
        matrix.codes.at(matrix.first_output + output, i) - zero_of(matrix, output, group);
    *out++ = static_cast<float>(code) * scale_of(matrix, output, group);
  }
}

bool is_f16(float value) { return f16_to_f32(f32_to_f16(value)) == value; }

bool is_exact_product(float a, float b) { return std::fma(a, b, -(a * b)) == 0; }

}  // namespace

float scale_of(const ScaledMatrix& matrix, int64_t output, int64_t group) {
  const int64_t row = (matrix.first_output + output) / matrix.group_outputs;
  return load_scale(matrix.scale_dtype, matrix.scales,
                    row * matrix.scale_output_stride + group * matrix.scale_group_stride);
}

int zero_of(const ScaledMatrix& matrix, int64_t output, int64_t group) {
  if (!matrix.zeros.has_value()) return matrix.zero;
  const int64_t row = (matrix.first_output + output) / matrix.group_outputs;
  return matrix.zero + matrix.zeros->at(row, group);
}

void decode_scaled(const ScaledMatrix& matrix, int64_t begin, int64_t count, float* out) {
  for (int64_t at = begin; at < begin + count;) {
    const int64_t output = at / matrix.inputs, input = at % matrix.inputs;
    int64_t last = std::min(matrix.inputs, input + begin + count - at);
    if (!matrix.group_of.empty()) {
      decode_scattered(matrix, output, input, last, out);
    } else {
      last = std::min(last, (input / matrix.group_inputs + 1) * matrix.group_inputs);
      decode_run(matrix, output, input, last, out);
    }
    out += last - input;
    at += last - input;
  }
}

void read_scaled_codes(const ScaledMatrix& matrix, int64_t output, int64_t begin, int64_t count,
                       uint8_t* out) {
  const IntGrid& grid = matrix.codes;
  const int64_t stored = matrix.first_output + output;
  if (matrix.input_order != nullptr) {
    const int32_t* const order = matrix.input_order->data() + begin;
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(grid.at(stored, order[i]));
  } else if (grid.bits == 8 && grid.lines_are_outputs && grid.word_bytes == 4) {
    const std::byte* line = grid.data + stored * grid.line_bytes + begin;
    for (int64_t i = 0; i < count; ++i) out[i] = std::to_integer<uint8_t>(line[i]) ^ grid.flip;
  } else if (grid.bits == 4 && grid.lines_are_outputs && begin % 8 == 0 && count % 8 == 0) {
    const std::byte* word = grid.data + stored * grid.line_bytes + begin / 8 * grid.word_bytes;
    for (int64_t i = 0; i < count; i += 8, word += grid.word_bytes) {
      for (int64_t b = 0; b < 4; ++b) {
        out[i + 2 * b] = std::to_integer<uint8_t>(word[b] & std::byte{15});
        out[i + 2 * b + 1] = std::to_integer<uint8_t>(word[b] >> 4);
      }
    }
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(grid.at(stored, begin + i));
  }
}

ScaledTraits traits_of(const ScaledMatrix& matrix, int64_t outputs) {
  const bool runs = matrix.group_inputs % kGroupInputs == 0 || matrix.group_inputs >= matrix.inputs;
  ScaledTraits traits;
  const bool ordered = matrix.group_of.empty() || matrix.input_order != nullptr;
  traits.whole_groups = matrix.code == ScaledMatrix::Code::kInteger && ordered &&
                        matrix.inputs % kGroupInputs == 0 && runs;
  if (!traits.whole_groups) return traits;
  const int middle = matrix.codes.bits == 8 ? 128 : 8;
  const int largest = (1 << matrix.codes.bits) - 1;
  const int zero = zero_of(matrix, 0, 0);
  bool one_zero = true;
  traits.f16_scales = traits.exact_minimums = true;
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t g = 0; g < ceil_div(matrix.inputs, matrix.group_inputs); ++g) {
      const float scale = scale_of(matrix, o, g);
      const int own_zero = zero_of(matrix, o, g);
      one_zero &= own_zero == zero;
      traits.f16_scales &= is_f16(scale);
      const int taken = middle == 128 ? own_zero - 128 : own_zero;
      traits.exact_minimums &= own_zero >= 0 && own_zero <= 256;
      traits.exact_minimums &= is_exact_product(scale, static_cast<float>(taken));
    }
  }
  const int shift = middle - zero;
  if (one_zero && shift >= 0 && largest + shift <= 2 * middle - 1) traits.shift = shift;
  return traits;
}

std::string describe(const ScaledMatrix& matrix, int64_t outputs) {
  const bool integer = matrix.code == ScaledMatrix::Code::kInteger;
  const std::string codes = integer ? fmt::format("int{}", matrix.codes.bits) : "fp8";
  if (matrix.group_outputs > 1) {
    if (matrix.group_outputs >= outputs && matrix.group_inputs >= matrix.inputs) return codes;
    return fmt::format("{} {}x{}", codes, matrix.group_outputs, matrix.group_inputs);
  }
  if (matrix.group_inputs >= matrix.inputs) return codes + " channels";
  return fmt::format("{} groups of {}", codes, matrix.group_inputs);
}

}  // namespace brisk
