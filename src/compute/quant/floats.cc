// Plain floating-point formats: one value a block.
#include <bit>
#include <cmath>
#include <cstring>

#include "compute/quant/codecs.h"

namespace brisk::quant {

void decode_f32(const std::byte* blocks, int64_t values, float* out) {
  std::memcpy(out, blocks, static_cast<size_t>(values) * sizeof(float));
}

void encode_f32(const float* in, int64_t values, std::byte* blocks) {
  std::memcpy(blocks, in, static_cast<size_t>(values) * sizeof(float));
}

void decode_f16(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t i = 0; i < values; ++i) out[i] = load_f16(blocks + 2 * i);
}

void encode_f16(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t i = 0; i < values; ++i) {
    const uint16_t bits = f32_to_f16(in[i]);
    std::memcpy(blocks + 2 * i, &bits, sizeof bits);
  }
}

void decode_bf16(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t i = 0; i < values; ++i) {
    uint16_t bits;
    std::memcpy(&bits, blocks + 2 * i, sizeof bits);
    out[i] = bf16_to_f32(bits);
  }
}

void encode_bf16(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t i = 0; i < values; ++i) {
    const uint16_t bits = f32_to_bf16(in[i]);
    std::memcpy(blocks + 2 * i, &bits, sizeof bits);
  }
}

// OCP 8-bit floating point v1.0, section 5: exponents have bias 7; all bits set but the sign is
// NaN.
void decode_f8_e4m3(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t i = 0; i < values; ++i) {
    const auto code = std::to_integer<uint32_t>(blocks[i]);
    const uint32_t magnitude = code & 0x7F;
    // Exponent and mantissa where f32 has them, whose bias is 120 more.
    const float value = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
    const uint32_t nan = magnitude == 0x7F ? 0x7FC00000u : 0;
    out[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(value) | nan | (code & 0x80) << 24);
  }
}

uint8_t f32_to_e4m3(float value) {
  constexpr float kMost = 448;
  const float magnitude = std::abs(value) < kMost ? std::abs(value) : kMost;
  if (!(magnitude > 0) || value != value) return 0;
  int exponent;
  std::frexp(magnitude, &exponent);
  exponent = exponent - 1 < -6 ? -6 : exponent - 1;  // subnormals share the smallest
  // In eighths of its power of two: 16 is the next power's beginning, below 8 it is subnormal.
  const auto mantissa = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  const int code = (exponent + 7) * 8 + mantissa - 8;
  if (code == 0) return 0;
  return static_cast<uint8_t>(code | (value < 0 ? 0x80 : 0));
}

float e4m3_to_f32(uint8_t code) {
  const auto byte = static_cast<std::byte>(code);
  float value;
  decode_f8_e4m3(&byte, 1, &value);
  return value;
}

void decode_f64(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t i = 0; i < values; ++i) {
    double value;
    std::memcpy(&value, blocks + 8 * i, sizeof value);
    out[i] = static_cast<float>(value);
  }
}

void encode_f64(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t i = 0; i < values; ++i) {
    const double value = in[i];
    std::memcpy(blocks + 8 * i, &value, sizeof value);
  }
}

}  // namespace brisk::quant
