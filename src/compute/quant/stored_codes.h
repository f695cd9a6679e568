// A quantised matrix's integers as they are stored, for whoever lays them out anew
// (pack_panels, pack_tiles): codes, and scales that are not multiplied yet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "compute/tensor/tensor.h"

namespace brisk {

// Consecutive values of one row. What a format lacks is not set.
struct StoredCodes {
  static constexpr int kGroup = 32;
  static constexpr int kValuesMax = 256;

  int groups;  // of 32 values
  // Unsigned codes of the format's width; 8-bit ones plus 128; of tables, the index.
  std::array<uint8_t, kValuesMax> codes;
  // f16. Formats of 32 values a block: each group's scale; q4_1, q5_1 scale and minimum; q4_k, q5_k
  // scale and minimum; q6_k, q3_k the scale.
  std::array<const std::byte*, 2> halves;
  std::array<uint8_t, 16> steps;    // integer scales: u8 a group, or i8 for each 16 values
  std::array<uint8_t, 8> minimums;  // likewise
  float scale, minimum;             // q4_1, q5_1, mxfp4 (of the doubled table)
  // Scaled matrices, of each group.
  std::array<float, 2> scales;
  std::array<uint16_t, 2> f16_scales;  // what `halves` points to
  std::array<int, 2> zeros;            // up to 2^bits
};

// Values [input, input + 32 * groups) of row `row` of the matrix, or up to the row's end.
// REQUIRES: a block format of at least 4 bits, or q3_k; `input` is a multiple of the format's block
// and of 32, `groups` at most 8, or 1 for those with `scale`, or 2 for the other formats of 32
// values a block, or 8 for super-blocks.
void read_codes(const Tensor& matrix, int64_t row, int64_t input, int groups, StoredCodes* out);

// The same of a scaled matrix. `fixed_zero`: codes are shifted so that the zero point is 8, or 128
// of 8 bits; else they are as stored, and `minimum` is the first group's for an offset of 128.
// REQUIRES: ScaledTraits::whole_groups (and ::shift); `input` is a multiple of 32, `groups` 1 or 2.
void read_scaled_codes(const Tensor& matrix, int64_t row, int64_t input, int groups,
                       bool fixed_zero, StoredCodes* out);

}  // namespace brisk
