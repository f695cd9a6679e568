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
};

// Values [input, input + 32 * groups) of row `row` of the matrix, or up to the row's end.
// REQUIRES: a block format of at least 4 bits, or q3_k; `input` is a multiple of the format's block
// and of 32, `groups` at most 8, or 1 for those with `scale`, or 2 for the other formats of 32
// values a block, or 8 for super-blocks.
void read_codes(const Tensor& matrix, int64_t row, int64_t input, int groups, StoredCodes* out);

}  // namespace brisk
