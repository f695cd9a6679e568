// Blocks of 32 values with one f16 scale (and, in the _1 formats, one f16 minimum).
// In the 4- and 5-bit formats byte j holds value j in its low half and value j + 16 in its high
// half.
#include <algorithm>
#include <cmath>

#include "compute/quant/codecs.h"

namespace brisk::quant {
namespace {

constexpr int kBlock = 32;
constexpr int kHalf = kBlock / 2;

int low_half(std::byte packed) { return std::to_integer<int>(packed & std::byte{0x0F}); }
int high_half(std::byte packed) { return std::to_integer<int>(packed >> 4); }

float largest_magnitude(const float* in) {
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::abs(in[i]));
  return largest;
}

// The value with the largest magnitude, sign included.
float extreme(const float* in) {
  float value = 0;
  for (int i = 0; i < kBlock; ++i) {
    if (std::abs(in[i]) > std::abs(value)) value = in[i];
  }
  return value;
}

// Low 4 bits of 32 codes into 16 bytes; the fifth bits into `fifth` where given (bit i: value i).
void pack_codes(const int* codes, std::byte* packed, std::byte* fifth) {
  for (int j = 0; j < kHalf; ++j) {
    packed[j] = static_cast<std::byte>((codes[j] & 15) | (codes[j + kHalf] & 15) << 4);
  }
  if (fifth == nullptr) return;
  uint32_t bits = 0;
  for (int i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4 & 1) << i;
  std::memcpy(fifth, &bits, sizeof bits);
}

void unpack_codes(const std::byte* packed, const std::byte* fifth, int* codes) {
  uint32_t bits = 0;
  if (fifth != nullptr) std::memcpy(&bits, fifth, sizeof bits);
  for (int j = 0; j < kHalf; ++j) {
    codes[j] = low_half(packed[j]) | static_cast<int>(bits >> j & 1) << 4;
    codes[j + kHalf] = high_half(packed[j]) | static_cast<int>(bits >> (j + kHalf) & 1) << 4;
  }
}

// Codes of values = (code - zero) * scale. The scale is chosen so that the extreme value is exactly
// code 0 (the side of zero that has one code more).
void symmetric_codes(const float* in, int zero, std::byte* scale, int* codes) {
  const float stored = store_f16_scale(extreme(in) / static_cast<float>(-zero), scale);
  const float inverse = inverse_or_zero(stored);
  for (int i = 0; i < kBlock; ++i) {
    codes[i] = nearest(in[i] * inverse, -zero, zero - 1) + zero;
  }
}

// Codes of values = code * scale + minimum, code in [0, code_max].
void affine_codes(const float* in, int code_max, std::byte* scale, std::byte* minimum, int* codes) {
  const auto [low, high] = std::minmax_element(in, in + kBlock);
  const float offset = store_f16_scale(*low, minimum);
  const float step = store_f16_scale((*high - offset) / static_cast<float>(code_max), scale);
  const float inverse = inverse_or_zero(step);
  for (int i = 0; i < kBlock; ++i) codes[i] = nearest((in[i] - offset) * inverse, 0, code_max);
}

}  // namespace

// f16 scale, 32 int8.
void decode_q8_0(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 34, out += kBlock) {
    const float scale = load_f16(blocks);
    for (int i = 0; i < kBlock; ++i) {
      out[i] = static_cast<float>(std::to_integer<int8_t>(blocks[2 + i])) * scale;
    }
  }
}

void encode_q8_0(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t at = 0; at < values; at += kBlock, in += kBlock, blocks += 34) {
    const float scale = store_f16_scale(largest_magnitude(in) / 127, blocks);
    const float inverse = inverse_or_zero(scale);
    for (int i = 0; i < kBlock; ++i) {
      blocks[2 + i] = static_cast<std::byte>(nearest(in[i] * inverse, -127, 127));
    }
  }
}

// f16 scale, 16 bytes of codes; value = (code - 8) * scale.
void decode_q4_0(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 18, out += kBlock) {
    const float scale = load_f16(blocks);
    for (int j = 0; j < kHalf; ++j) {
      out[j] = static_cast<float>(low_half(blocks[2 + j]) - 8) * scale;
      out[j + kHalf] = static_cast<float>(high_half(blocks[2 + j]) - 8) * scale;
    }
  }
}

void encode_q4_0(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t at = 0; at < values; at += kBlock, in += kBlock, blocks += 18) {
    int codes[kBlock];
    symmetric_codes(in, 8, blocks, codes);
    pack_codes(codes, blocks + 2, nullptr);
  }
}

// f16 scale, f16 minimum, 16 bytes of codes; value = code * scale + minimum.
void decode_q4_1(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 20, out += kBlock) {
    const float scale = load_f16(blocks);
    const float minimum = load_f16(blocks + 2);
    int codes[kBlock];
    unpack_codes(blocks + 4, nullptr, codes);
    for (int i = 0; i < kBlock; ++i) out[i] = static_cast<float>(codes[i]) * scale + minimum;
  }
}

void encode_q4_1(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t at = 0; at < values; at += kBlock, in += kBlock, blocks += 20) {
    int codes[kBlock];
    affine_codes(in, 15, blocks, blocks + 2, codes);
    pack_codes(codes, blocks + 4, nullptr);
  }
}

// f16 scale, 4 bytes of fifth bits, 16 bytes of codes; value = (code - 16) * scale.
void decode_q5_0(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 22, out += kBlock) {
    const float scale = load_f16(blocks);
    int codes[kBlock];
    unpack_codes(blocks + 6, blocks + 2, codes);
    for (int i = 0; i < kBlock; ++i) out[i] = static_cast<float>(codes[i] - 16) * scale;
  }
}

void encode_q5_0(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t at = 0; at < values; at += kBlock, in += kBlock, blocks += 22) {
    int codes[kBlock];
    symmetric_codes(in, 16, blocks, codes);
    pack_codes(codes, blocks + 6, blocks + 2);
  }
}

// f16 scale, f16 minimum, 4 bytes of fifth bits, 16 bytes of codes; value = code * scale + minimum.
void decode_q5_1(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 24, out += kBlock) {
    const float scale = load_f16(blocks);
    const float minimum = load_f16(blocks + 2);
    int codes[kBlock];
    unpack_codes(blocks + 8, blocks + 4, codes);
    for (int i = 0; i < kBlock; ++i) out[i] = static_cast<float>(codes[i]) * scale + minimum;
  }
}

void encode_q5_1(const float* in, int64_t values, std::byte* blocks) {
  for (int64_t at = 0; at < values; at += kBlock, in += kBlock, blocks += 24) {
    int codes[kBlock];
    affine_codes(in, 31, blocks, blocks + 2, codes);
    pack_codes(codes, blocks + 8, blocks + 4);
  }
}

}  // namespace brisk::quant
