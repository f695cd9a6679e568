// Blocks of 32 four-bit codes that index a table of values; byte j holds code j and code j + 16.
#include <bit>

#include "compute/quant/codecs.h"

namespace brisk::quant {
namespace {

constexpr int kBlock = 32;
constexpr int kHalf = kBlock / 2;

// ggml's kvalues_iq4nl: 16 levels that suit bell-shaped weights.
constexpr float kIq4Nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                              1,    13,   25,  38,  53,  69,  89,  113};

// E2M1 of the OCP microscaling formats (MX v1.0, section 5.3.3), doubled to be whole numbers.
constexpr float kE2M1Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, -0.0f, -1, -2, -3, -4, -6, -8, -12};

// 2^(exponent - 128): half of what the E8M0 byte means, to make up for the doubled table.
float half_of_e8m0(std::byte exponent) {
  const uint32_t e = std::to_integer<uint32_t>(exponent);
  return std::bit_cast<float>(e < 2 ? uint32_t{0x00200000} << e : (e - 1) << 23);
}

void decode_block(const std::byte* codes, const float* table, float scale, float* out) {
  for (int j = 0; j < kHalf; ++j) {
    out[j] = table[std::to_integer<int>(codes[j] & std::byte{15})] * scale;
    out[j + kHalf] = table[std::to_integer<int>(codes[j] >> 4)] * scale;
  }
}

}  // namespace

// f16 scale, 16 bytes of codes.
void decode_iq4_nl(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 18, out += kBlock) {
    decode_block(blocks + 2, kIq4Nl, load_f16(blocks), out);
  }
}

// E8M0 exponent, 16 bytes of codes.
void decode_mxfp4(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 17, out += kBlock) {
    decode_block(blocks + 1, kE2M1Doubled, half_of_e8m0(blocks[0]), out);
  }
}

}  // namespace brisk::quant
