// Super-blocks of 256 values: an f16 scale (and minimum) for the whole, small integer scales (and
// minimums) for runs of 16 or 32 values inside.
#include "compute/quant/codecs.h"
#include "compute/quant/k_scales.h"

namespace brisk::quant {
namespace {

constexpr int kSuper = 256;

const uint8_t* as_u8(const std::byte* bytes) { return reinterpret_cast<const uint8_t*>(bytes); }

}  // namespace

// 16 bytes (scale, minimum) of 4 bits each for runs of 16; 64 bytes of 2-bit codes; f16 scale, f16
// minimum. In each half of 128 values, byte l holds values l, l + 32, l + 64, l + 96.
void decode_q2_k(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kSuper, blocks += 84, out += kSuper) {
    const uint8_t* runs = as_u8(blocks);
    const uint8_t* codes = as_u8(blocks + 16);
    const float scale = load_f16(blocks + 80);
    const float minimum = load_f16(blocks + 82);
    for (int i = 0; i < kSuper; ++i) {
      const int run = runs[i / 16];
      const int code = codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
      const float step = scale * static_cast<float>(run & 15);
      const float offset = minimum * static_cast<float>(run >> 4);
      out[i] = step * static_cast<float>(code) - offset;
    }
  }
}

// 32 bytes of third bits (bit k of byte l: value 32 k + l); 64 bytes of low 2 bits laid out as in
// q2_k; 12 bytes of sixteen 6-bit scales; f16 scale. A clear third bit subtracts 4.
void decode_q3_k(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kSuper, blocks += 110, out += kSuper) {
    const uint8_t* third = as_u8(blocks);
    const uint8_t* codes = as_u8(blocks + 32);
    const uint8_t* packed = as_u8(blocks + 96);
    const float scale = load_f16(blocks + 108);
    float steps[16];
    for (int run = 0; run < 16; ++run) {
      const int low = packed[run % 8] >> (run / 8 * 4) & 15;
      const int high = packed[8 + run % 4] >> (run / 4 * 2) & 3;
      steps[run] = scale * static_cast<float>((low | high << 4) - 32);
    }
    for (int i = 0; i < kSuper; ++i) {
      const int low = codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
      const int high = third[i % 32] >> (i / 32) & 1;
      out[i] = steps[i / 16] * static_cast<float>(low + 4 * high - 4);
    }
  }
}

// f16 scale, f16 minimum; 12 bytes of eight 6-bit (scale, minimum) pairs for runs of 32; 128 bytes
// of 4-bit codes: in each 64 values, byte l holds value l (low half) and l + 32 (high half).
void decode_q4_k(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kSuper, blocks += 144, out += kSuper) {
    const float scale = load_f16(blocks);
    const float minimum = load_f16(blocks + 2);
    const KScales runs = unpack_k_scales(as_u8(blocks + 4));
    const uint8_t* codes = as_u8(blocks + 16);
    for (int run = 0; run < 8; ++run) {
      const float step = scale * static_cast<float>(runs.scale[run]);
      const float offset = minimum * static_cast<float>(runs.minimum[run]);
      const uint8_t* run_codes = codes + run / 2 * 32;
      for (int l = 0; l < 32; ++l) {
        const int code = run_codes[l] >> (run % 2 * 4) & 15;
        out[run * 32 + l] = step * static_cast<float>(code) - offset;
      }
    }
  }
}

// As q4_k, with 32 bytes of fifth bits (bit k of byte l: value 32 k + l) before the codes.
void decode_q5_k(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kSuper, blocks += 176, out += kSuper) {
    const float scale = load_f16(blocks);
    const float minimum = load_f16(blocks + 2);
    const KScales runs = unpack_k_scales(as_u8(blocks + 4));
    const uint8_t* fifth = as_u8(blocks + 16);
    const uint8_t* codes = as_u8(blocks + 48);
    for (int run = 0; run < 8; ++run) {
      const float step = scale * static_cast<float>(runs.scale[run]);
      const float offset = minimum * static_cast<float>(runs.minimum[run]);
      const uint8_t* run_codes = codes + run / 2 * 32;
      for (int l = 0; l < 32; ++l) {
        const int code = (run_codes[l] >> (run % 2 * 4) & 15) + (fifth[l] >> run & 1) * 16;
        out[run * 32 + l] = step * static_cast<float>(code) - offset;
      }
    }
  }
}

// 128 bytes of low 4 bits; 64 bytes of high 2 bits; 16 int8 scales for runs of 16; f16 scale.
// In each half of 128 values, low byte l holds value l and l + 64, high byte l values l, l + 32,
// l + 64, l + 96.
void decode_q6_k(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kSuper, blocks += 210, out += kSuper) {
    const uint8_t* low = as_u8(blocks);
    const uint8_t* high = as_u8(blocks + 128);
    const auto* runs = reinterpret_cast<const int8_t*>(blocks + 192);
    const float scale = load_f16(blocks + 208);
    for (int i = 0; i < kSuper; ++i) {
      const int half = i / 128, within = i % 128;
      const int four = low[half * 64 + within % 64] >> (within / 64 * 4) & 15;
      const int two = high[half * 32 + within % 32] >> (within / 32 * 2) & 3;
      const float step = scale * static_cast<float>(runs[i / 16]);
      out[i] = step * static_cast<float>((four | two << 4) - 32);
    }
  }
}

}  // namespace brisk::quant
