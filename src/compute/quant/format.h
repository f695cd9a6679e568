// The table of element formats: how many bytes a block of values takes and how to turn it into f32
// and back. A format is one row here and one file beside it; fast kernels for it come separately
// (compute/kernels), and what has none runs through `decode`.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "compute/tensor/dtype.h"
#include "compute/tensor/tensor.h"

namespace brisk {

struct Format {
  DType dtype;
  std::string_view name;  // as llama.cpp and safetensors users know it: "q4_0", "bf16"
  int block_values;       // values that are stored together
  int block_bytes;
  // `values` (a multiple of block_values) from `blocks`. Null for formats that are not weights
  // (integers) and for those whose scales lie elsewhere (see decode_values).
  void (*decode)(const std::byte* blocks, int64_t values, float* out);
  // The inverse, rounding to nearest. Null where brisk only reads the format.
  void (*encode)(const float* in, int64_t values, std::byte* blocks);
};

const Format& format_of(DType dtype);
std::span<const Format> formats();
std::optional<DType> dtype_from_name(std::string_view name);

// Bytes of `values` consecutive values (a multiple of the format's block).
int64_t bytes_of(DType dtype, int64_t values);

// Values [begin, begin + count) of `tensor`, counted in row-major order, as f32.
// REQUIRES: the format can be decoded; begin and count are multiples of its block.
void decode_values(const Tensor& tensor, int64_t begin, int64_t count, float* out);

}  // namespace brisk
