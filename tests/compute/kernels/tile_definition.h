// What a tile unit computes, number by number (compute/kernels/cpu/tiles.h), and where tests can
// run one.
#pragma once

#include <cmath>
#include <cstdint>

#include "compute/tensor/half.h"

namespace brisk {

inline float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

inline float rounded(float value) { return bf16_to_f32(f32_to_bf16(flushed(value))); }

inline float defined_dot(const float* w, const float* x, int64_t depth) {
  float y = 0;
  for (int64_t k = 0; k < depth; k += 32) {
    float even = 0, odd = 0;
    for (int64_t i = k; i < k + 32; i += 2) {
      even = flushed(std::fma(w[i], x[i], even));
      odd = flushed(std::fma(w[i + 1], x[i + 1], odd));
    }
    y = flushed(y + flushed(even + odd));
  }
  return y;
}

}  // namespace brisk
