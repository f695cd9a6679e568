// Blocks of 32 four-bit codes that index a table of values; byte j holds code j and code j + 16.
#include "compute/quant/codecs.h"

namespace brisk::quant {
namespace {

constexpr int kBlock = 32;
constexpr int kHalf = kBlock / 2;

float value(const int8_t* table, std::byte code) {
  return static_cast<float>(table[std::to_integer<size_t>(code)]);
}

void decode_block(const std::byte* codes, const int8_t* table, float scale, float* out) {
  for (int j = 0; j < kHalf; ++j) {
    out[j] = value(table, codes[j] & std::byte{15}) * scale;
    out[j + kHalf] = value(table, codes[j] >> 4) * scale;
  }
}

}  // namespace

// f16 scale, 16 bytes of codes.
void decode_iq4_nl(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 18, out += kBlock) {
    decode_block(blocks + 2, kIq4NlValues, load_f16(blocks), out);
  }
}

// E8M0 exponent, 16 bytes of codes.
void decode_mxfp4(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += 17, out += kBlock) {
    decode_block(blocks + 1, kMxfp4Doubled, mxfp4_half_scale(blocks[0]), out);
  }
}

}  // namespace brisk::quant
