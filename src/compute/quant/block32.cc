// Blocks of 32 values with one f16 scale (and, in the _1 formats, one f16 minimum).
// In the 4- and 5-bit formats byte j holds value j in its low half and value j + 16 in its high
// half.
#include <algorithm>
#include <cmath>

#include "compute/quant/codecs.h"
#include "compute/quant/search.h"

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

// Low 4 bits of 32 codes + zero into 16 bytes; the fifth bits into `fifth` where given (bit i:
// value i).
void pack_codes(const int* codes, int zero, std::byte* packed, std::byte* fifth) {
  for (int j = 0; j < kHalf; ++j) {
    packed[j] =
        static_cast<std::byte>(((codes[j] + zero) & 15) | ((codes[j + kHalf] + zero) & 15) << 4);
  }
  if (fifth == nullptr) return;
  uint32_t bits = 0;
  for (int i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>((codes[i] + zero) >> 4 & 1) << i;
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

// The scale of values = scale * code, code in [-zero, zero - 1]. Without a search the extreme value
// is exactly -zero (the side of zero that has one code more).
void fit_symmetric(const GridFit& fit, int zero, std::byte* scale) {
  store_f16_scale(fit.search ? search_symmetric(fit.values, fit.importance, kBlock, -zero, zero - 1)
                             : extreme(fit.values) / static_cast<float>(-zero),
                  scale);
}

// Scale and minimum of values = code * scale + minimum, code in [0, code_max].
void fit_affine(const GridFit& fit, int code_max, std::byte* scale, std::byte* minimum) {
  if (fit.search) {
    const AffineFit best = search_affine(fit.values, fit.importance, kBlock, code_max, -INFINITY);
    store_f16_scale(-best.offset, minimum);
    store_f16_scale(best.step, scale);
    return;
  }
  const auto [low, high] = std::minmax_element(fit.values, fit.values + kBlock);
  const float offset = store_f16_scale(*low, minimum);
  store_f16_scale((*high - offset) / static_cast<float>(code_max), scale);
}

Grid grid_of(float step, float offset, int code_min, int code_max) {
  return {.step = step,
          .inverse = inverse_or_zero(step),
          .offset = offset,
          .code_min = code_min,
          .code_max = code_max};
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

void fit_q8_0(const GridFit& fit, std::byte* block) {
  store_f16_scale(fit.search ? search_symmetric(fit.values, fit.importance, kBlock, -127, 127)
                             : largest_magnitude(fit.values) / 127,
                  block);
}

void grids_q8_0(const std::byte* block, Grid* grid) {
  *grid = grid_of(load_f16(block), 0, -127, 127);
}

void store_q8_0(const int* codes, std::byte* block) {
  for (int i = 0; i < kBlock; ++i) block[2 + i] = static_cast<std::byte>(codes[i]);
}

void encode_q8_0(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ8_0), in, values, blocks);
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

void fit_q4_0(const GridFit& fit, std::byte* block) { fit_symmetric(fit, 8, block); }

void grids_q4_0(const std::byte* block, Grid* grid) { *grid = grid_of(load_f16(block), 0, -8, 7); }

void store_q4_0(const int* codes, std::byte* block) { pack_codes(codes, 8, block + 2, nullptr); }

void encode_q4_0(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ4_0), in, values, blocks);
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

void fit_q4_1(const GridFit& fit, std::byte* block) { fit_affine(fit, 15, block, block + 2); }

void grids_q4_1(const std::byte* block, Grid* grid) {
  *grid = grid_of(load_f16(block), load_f16(block + 2), 0, 15);
}

void store_q4_1(const int* codes, std::byte* block) { pack_codes(codes, 0, block + 4, nullptr); }

void encode_q4_1(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ4_1), in, values, blocks);
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

void fit_q5_0(const GridFit& fit, std::byte* block) { fit_symmetric(fit, 16, block); }

void grids_q5_0(const std::byte* block, Grid* grid) {
  *grid = grid_of(load_f16(block), 0, -16, 15);
}

void store_q5_0(const int* codes, std::byte* block) { pack_codes(codes, 16, block + 6, block + 2); }

void encode_q5_0(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ5_0), in, values, blocks);
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

void fit_q5_1(const GridFit& fit, std::byte* block) { fit_affine(fit, 31, block, block + 2); }

void grids_q5_1(const std::byte* block, Grid* grid) {
  *grid = grid_of(load_f16(block), load_f16(block + 2), 0, 31);
}

void store_q5_1(const int* codes, std::byte* block) { pack_codes(codes, 0, block + 8, block + 4); }

void encode_q5_1(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ5_1), in, values, blocks);
}

}  // namespace brisk::quant
