#include "compute/quant/stored_codes.h"

#include <cstring>

#include "base/check.h"
#include "compute/quant/codecs.h"
#include "compute/quant/format.h"
#include "compute/quant/k_scales.h"
#include "compute/quant/scaled_codes.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

constexpr int kSuper = 256;

uint8_t u8(const std::byte* at) { return static_cast<uint8_t>(*at); }

// 32 codes whose low four bits lie in 16 bytes: low halves are 0..15, high halves 16..31. `fifth`
// holds their fifth bits.
void read_nibbles(const std::byte* bytes, uint32_t fifth, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = static_cast<uint8_t>((u8(bytes + i) & 15u) | (fifth >> i & 1u) << 4);
    codes[i + 16] = static_cast<uint8_t>(u8(bytes + i) >> 4u | (fifth >> (i + 16) & 1u) << 4);
  }
}

uint32_t load_u32(const std::byte* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Formats of 32 values a block with an f16 scale in front.
void read_block32(DType dtype, const std::byte* stored, StoredCodes* out) {
  const int block_bytes = format_of(dtype).block_bytes;
  for (size_t g = 0; g < static_cast<size_t>(out->groups); ++g, stored += block_bytes) {
    uint8_t* codes = out->codes.data() + g * StoredCodes::kGroup;
    out->halves[g] = stored;
    if (dtype == DType::kQ8_0) {
      for (int i = 0; i < 32; ++i) codes[i] = u8(stored + 2 + i) ^ 0x80;
    } else if (dtype == DType::kQ5_0) {
      read_nibbles(stored + 6, load_u32(stored + 2), codes);
    } else {
      read_nibbles(stored + 2, 0, codes);
    }
  }
}

void read_k_header(const std::byte* stored, StoredCodes* out) {
  out->halves = {stored, stored + 2};
  const auto runs = quant::unpack_k_scales(reinterpret_cast<const uint8_t*>(stored + 4));
  for (size_t j = 0; j < 8; ++j) {
    out->steps[j] = runs.scale[j];
    out->minimums[j] = runs.minimum[j];
  }
}

void read_q4_k(const std::byte* stored, StoredCodes* out) {
  read_k_header(stored, out);
  for (int i = 0; i < kSuper; ++i) {
    const uint8_t byte = u8(stored + 16 + i / 64 * 32 + i % 32);
    out->codes[static_cast<size_t>(i)] = i % 64 < 32 ? byte & 15 : byte >> 4;
  }
}

void read_q5_k(const std::byte* stored, StoredCodes* out) {
  read_k_header(stored, out);
  for (int i = 0; i < kSuper; ++i) {
    const uint8_t byte = u8(stored + 48 + i / 64 * 32 + i % 32);
    const int low = i % 64 < 32 ? byte & 15 : byte >> 4;
    const int fifth = u8(stored + 16 + i % 32) >> (i / 32) & 1;
    out->codes[static_cast<size_t>(i)] = static_cast<uint8_t>(low | fifth << 4);
  }
}

void read_q6_k(const std::byte* stored, StoredCodes* out) {
  out->halves[0] = stored + 208;
  std::memcpy(out->steps.data(), stored + 192, 16);
  for (int i = 0; i < kSuper; ++i) {
    const int half = i / 128, within = i % 128;
    const int four = u8(stored + half * 64 + within % 64) >> (within / 64 * 4) & 15;
    const int two = u8(stored + 128 + half * 32 + within % 32) >> (within / 32 * 2) & 3;
    out->codes[static_cast<size_t>(i)] = static_cast<uint8_t>(four | two << 4);
  }
}

void read_q3_k(const std::byte* stored, StoredCodes* out) {
  out->halves[0] = stored + 108;
  for (int run = 0; run < 16; ++run) {
    const int low = u8(stored + 96 + run % 8) >> (run / 8 * 4) & 15;
    const int high = u8(stored + 104 + run % 4) >> (run / 4 * 2) & 3;
    out->steps[static_cast<size_t>(run)] = static_cast<uint8_t>((low | high << 4) - 32);
  }
  for (int i = 0; i < kSuper; ++i) {
    const int low = u8(stored + 32 + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3;
    const int high = u8(stored + i % 32) >> (i / 32) & 1;
    out->codes[static_cast<size_t>(i)] = static_cast<uint8_t>(low + 4 * high);
  }
}

// From input `within` of a block on.
void read_tq2_0(const std::byte* stored, int within, StoredCodes* out) {
  for (int g = 0; g < out->groups; ++g) out->halves[static_cast<size_t>(g)] = stored + 64;
  for (int i = 0; i < 32 * out->groups; ++i) {
    const int at = within + i;
    out->codes[static_cast<size_t>(i)] =
        u8(stored + at / 128 * 32 + at % 32) >> (at % 128 / 32 * 2) & 3;
  }
}

// f16 scale and minimum, then (q5_1) fifth bits, then the codes.
void read_with_minimum(DType dtype, const std::byte* stored, StoredCodes* out) {
  out->halves = {stored, stored + 2};
  out->scale = quant::load_f16(stored);
  out->minimum = quant::load_f16(stored + 2);
  const bool five = dtype == DType::kQ5_1;
  read_nibbles(stored + (five ? 8 : 4), five ? load_u32(stored + 4) : 0, out->codes.data());
}

}  // namespace

void read_codes(const Tensor& matrix, int64_t row, int64_t input, int groups, StoredCodes* out) {
  const int64_t depth = matrix.shape.back();
  const auto left = static_cast<int>((depth - input) / StoredCodes::kGroup);
  out->groups = left < groups ? left : groups;
  const int64_t first = row * depth + input;
  const std::byte* stored = matrix.data.data() + bytes_of(matrix.dtype, first);
  out->minimum = 0;
  switch (matrix.dtype) {
    case DType::kQ4_0:
    case DType::kQ8_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
      return read_block32(matrix.dtype, stored, out);
    case DType::kQ4_K:
      return read_q4_k(stored, out);
    case DType::kQ5_K:
      return read_q5_k(stored, out);
    case DType::kQ6_K:
      return read_q6_k(stored, out);
    case DType::kQ3_K:
      return read_q3_k(stored, out);
    case DType::kQ4_1:
    case DType::kQ5_1:
      return read_with_minimum(matrix.dtype, stored, out);
    case DType::kTQ2_0:
      return read_tq2_0(stored, static_cast<int>(input % kSuper), out);
    case DType::kMXFP4:
      out->scale = quant::mxfp4_half_scale(stored[0]);
      return read_nibbles(stored + 1, 0, out->codes.data());
    case DType::kQ2_K:
    case DType::kInt8Grouped:
    case DType::kTernaryGrouped:
    case DType::kScaled:
    case DType::kF8E4M3:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF64:
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
      break;
  }
  BRISK_CHECK(false);
}

void read_scaled_codes(const Tensor& matrix, int64_t row, int64_t input, int groups,
                       bool fixed_zero, StoredCodes* out) {
  const ScaledMatrix& scaled = *matrix.scaled;
  const auto left = static_cast<int>((scaled.inputs - input) / StoredCodes::kGroup);
  out->groups = left < groups ? left : groups;
  const int middle = scaled.codes.bits == 8 ? 128 : 8;
  for (int g = 0; g < out->groups; ++g, input += StoredCodes::kGroup) {
    const auto i = static_cast<size_t>(g);
    uint8_t* const codes = out->codes.data() + static_cast<ptrdiff_t>(StoredCodes::kGroup) * g;
    read_scaled_codes(scaled, row, input, StoredCodes::kGroup, codes);
    const int64_t group = input / scaled.group_inputs;
    const int zero = zero_of(scaled, row, group);
    out->scales[i] = scale_of(scaled, row, group);
    out->zeros[i] = zero;
    out->f16_scales[i] = f32_to_f16(out->scales[i]);
    out->halves[i] = reinterpret_cast<const std::byte*>(&out->f16_scales[i]);
    if (!fixed_zero) continue;
    for (int k = 0; k < StoredCodes::kGroup; ++k) {
      codes[k] = static_cast<uint8_t>(codes[k] + middle - zero);
    }
  }
  out->scale = out->scales[0];
  out->minimum = 0.0f - out->scale * static_cast<float>(out->zeros[0] - 128);
}

}  // namespace brisk
