// Reads a ScaledMatrix (compute/tensor/scaled_matrix.h): as f32, and as codes for packing.
#pragma once

#include <cstdint>
#include <string>

#include "compute/tensor/scaled_matrix.h"
#include "compute/tensor/tensor.h"

namespace brisk {

// The scale and the zero point of a weight. `output` counts from the matrix's first.
float scale_of(const ScaledMatrix& matrix, int64_t output, int64_t group);
int zero_of(const ScaledMatrix& matrix, int64_t output, int64_t group);

// Values [begin, begin + count) in row-major order, as f32.
void decode_scaled(const ScaledMatrix& matrix, int64_t begin, int64_t count, float* out);

// Unsigned codes of inputs [begin, begin + count) of an output, as they are stored. Inputs count in
// the order of groups, `input_order`, where there is one.
void read_scaled_codes(const ScaledMatrix& matrix, int64_t output, int64_t begin, int64_t count,
                       uint8_t* out);

// What decides which packed format holds a matrix without loss. Looks at every scale and zero.
struct ScaledTraits {
  // Integers, every 32 inputs (in the order of groups) share a scale, and rows are whole groups.
  bool whole_groups = false;
  bool f16_scales = false;  // every scale is exact in f16
  // 8 - zero or, of 8 bits, 128 - zero, where that is the same everywhere and code + shift is a
  // code of 4 or 8 bits: what turns codes into those of a format with a fixed zero.
  std::optional<int> shift;
  bool exact_minimums = false;  // scale * zero (of 8 bits: scale * (zero - 128)) is exact in f32
};
// `outputs`: of the matrix.
ScaledTraits traits_of(const ScaledMatrix& matrix, int64_t outputs);

// "int4 groups of 128", "int8 channels", "fp8 128x128", for people.
std::string describe(const ScaledMatrix& matrix, int64_t outputs);

}  // namespace brisk
