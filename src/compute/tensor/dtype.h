// Element formats of tensors, as checkpoints hold them. What a format's bytes mean is one file and
// one row in compute/quant/format.cc.
#pragma once

#include <cstdint>

namespace brisk {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  // Blocks of values that carry their own scales (GGUF).
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kMXFP4,
  kTQ2_0,  // ternary: -1, 0 or 1 times the block's scale
  // Values whose scales are an array of their own (Tensor::scales, Tensor::scale_group).
  kInt8Grouped,     // llama2.c version 2: int8, one f32 scale per group of consecutive values
  kTernaryGrouped,  // four {-1, 0, 1} a byte, lowest bits first, each a two's complement number
  kScaled,          // codes, scales and zero points are tensors of their own: Tensor::scaled
  kF8E4M3,          // OCP 8-bit floating point v1.0, E4M3: no infinities
};

constexpr bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace brisk
