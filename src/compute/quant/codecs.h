// The decoders and encoders that rows of the format table point at; call them through format.h.
// Every function takes whole blocks: `values` is a multiple of the format's block. Block layouts
// are those of GGUF (ggml's tensor types).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compute/quant/grids.h"
#include "compute/tensor/half.h"

namespace brisk::quant {

// floats.cc
void decode_f32(const std::byte* blocks, int64_t values, float* out);
void encode_f32(const float* in, int64_t values, std::byte* blocks);
void decode_f16(const std::byte* blocks, int64_t values, float* out);
void encode_f16(const float* in, int64_t values, std::byte* blocks);
void decode_bf16(const std::byte* blocks, int64_t values, float* out);
void encode_bf16(const float* in, int64_t values, std::byte* blocks);
void decode_f64(const std::byte* blocks, int64_t values, float* out);
void encode_f64(const float* in, int64_t values, std::byte* blocks);
void decode_f8_e4m3(const std::byte* blocks, int64_t values, float* out);
// The nearest of e4m3, ties to even; what is beyond 448 becomes that, NaN zero.
uint8_t f32_to_e4m3(float value);
float e4m3_to_f32(uint8_t code);

// block32.cc
void decode_q8_0(const std::byte* blocks, int64_t values, float* out);
void encode_q8_0(const float* in, int64_t values, std::byte* blocks);
void decode_q4_0(const std::byte* blocks, int64_t values, float* out);
void encode_q4_0(const float* in, int64_t values, std::byte* blocks);
void decode_q4_1(const std::byte* blocks, int64_t values, float* out);
void encode_q4_1(const float* in, int64_t values, std::byte* blocks);
void decode_q5_0(const std::byte* blocks, int64_t values, float* out);
void encode_q5_0(const float* in, int64_t values, std::byte* blocks);
void decode_q5_1(const std::byte* blocks, int64_t values, float* out);
void encode_q5_1(const float* in, int64_t values, std::byte* blocks);

// Their grids (grids.h).
void fit_q8_0(const GridFit& fit, std::byte* block);
void grids_q8_0(const std::byte* block, Grid* grid);
void store_q8_0(const int* codes, std::byte* block);
void fit_q4_0(const GridFit& fit, std::byte* block);
void grids_q4_0(const std::byte* block, Grid* grid);
void store_q4_0(const int* codes, std::byte* block);
void fit_q4_1(const GridFit& fit, std::byte* block);
void grids_q4_1(const std::byte* block, Grid* grid);
void store_q4_1(const int* codes, std::byte* block);
void fit_q5_0(const GridFit& fit, std::byte* block);
void grids_q5_0(const std::byte* block, Grid* grid);
void store_q5_0(const int* codes, std::byte* block);
void fit_q5_1(const GridFit& fit, std::byte* block);
void grids_q5_1(const std::byte* block, Grid* grid);
void store_q5_1(const int* codes, std::byte* block);

// nonlinear.cc
void decode_iq4_nl(const std::byte* blocks, int64_t values, float* out);
void decode_mxfp4(const std::byte* blocks, int64_t values, float* out);

// ggml's kvalues_iq4nl: 16 levels that suit bell-shaped weights.
inline constexpr int8_t kIq4NlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};
// E2M1 of the OCP microscaling formats (MX v1.0, section 5.3.3), doubled to be whole numbers.
inline constexpr int8_t kMxfp4Doubled[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                             0, -1, -2, -3, -4, -6, -8, -12};
// 2^(exponent - 128): half of what the E8M0 byte means, to make up for the doubled table.
inline float mxfp4_half_scale(std::byte exponent) {
  const uint32_t e = std::to_integer<uint32_t>(exponent);
  return std::bit_cast<float>(e < 2 ? uint32_t{0x00200000} << e : (e - 1) << 23);
}

// ternary.cc
void decode_tq2_0(const std::byte* blocks, int64_t values, float* out);
void encode_tq2_0(const float* in, int64_t values, std::byte* blocks);
void fit_tq2_0(const GridFit& fit, std::byte* block);
void grids_tq2_0(const std::byte* block, Grid* grid);
void store_tq2_0(const int* codes, std::byte* block);

// k_quants.cc
void decode_q2_k(const std::byte* blocks, int64_t values, float* out);
void decode_q3_k(const std::byte* blocks, int64_t values, float* out);
void decode_q4_k(const std::byte* blocks, int64_t values, float* out);
void decode_q5_k(const std::byte* blocks, int64_t values, float* out);
void decode_q6_k(const std::byte* blocks, int64_t values, float* out);

// k_quants_encode.cc
void encode_q2_k(const float* in, int64_t values, std::byte* blocks);
void encode_q4_k(const float* in, int64_t values, std::byte* blocks);
void encode_q6_k(const float* in, int64_t values, std::byte* blocks);
void fit_q2_k(const GridFit& fit, std::byte* block);
void grids_q2_k(const std::byte* block, Grid* grids);
void store_q2_k(const int* codes, std::byte* block);
void fit_q4_k(const GridFit& fit, std::byte* block);
void grids_q4_k(const std::byte* block, Grid* grids);
void store_q4_k(const int* codes, std::byte* block);
void fit_q6_k(const GridFit& fit, std::byte* block);
void grids_q6_k(const std::byte* block, Grid* grids);
void store_q6_k(const int* codes, std::byte* block);

inline float load_f16(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}

// Stores `scale`, limited to what f16 can hold (NaN as 0), and returns what was stored.
inline float store_f16_scale(float scale, std::byte* at) {
  constexpr float kF16Max = 65504;
  if (!(scale >= -kF16Max)) scale = scale < 0 ? -kF16Max : 0;
  if (scale > kF16Max) scale = kF16Max;
  const uint16_t bits = f32_to_f16(scale);
  std::memcpy(at, &bits, sizeof bits);
  return f16_to_f32(bits);
}

// 1 / scale, or 0 where that would not be finite.
inline float inverse_or_zero(float scale) {
  const float inverse = 1 / scale;
  return inverse - inverse == 0 ? inverse : 0;
}

// The integer nearest to `value` (ties to even) within [low, high]; NaN gives `low`.
// REQUIRES: |low|, |high| < 2^22.
inline int nearest(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  if (value > static_cast<float>(high)) return high;
  constexpr float kMagic = 0x1.8p23f;  // adding it leaves no bits below one
  return static_cast<int>((value + kMagic) - kMagic);
}

}  // namespace brisk::quant
