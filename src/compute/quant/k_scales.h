// The 12 bytes in which q4_k and q5_k store eight 6-bit scales and eight 6-bit minimums.
#pragma once

#include <cstdint>

namespace brisk::quant {

struct KScales {
  uint8_t scale[8];
  uint8_t minimum[8];
};

// Bytes 0-3: scales 0-3, bytes 4-7: minimums 0-3, each with two high bits of a later one on top;
// bytes 8-11: the low four bits of scales 4-7 (low half) and minimums 4-7 (high half).
inline KScales unpack_k_scales(const uint8_t* packed) {
  KScales runs;
  for (int j = 0; j < 4; ++j) {
    runs.scale[j] = packed[j] & 63;
    runs.minimum[j] = packed[j + 4] & 63;
    runs.scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 15) | packed[j] >> 6 << 4);
    runs.minimum[j + 4] = static_cast<uint8_t>(packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4);
  }
  return runs;
}

inline void pack_k_scales(const KScales& runs, uint8_t* packed) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(runs.scale[j] | runs.scale[j + 4] >> 4 << 6);
    packed[j + 4] = static_cast<uint8_t>(runs.minimum[j] | runs.minimum[j + 4] >> 4 << 6);
    packed[j + 8] = static_cast<uint8_t>((runs.scale[j + 4] & 15) | runs.minimum[j + 4] << 4);
  }
}

}  // namespace brisk::quant
