// Integer codes of a matrix as a quantiser chooses them: a scale and perhaps a zero point for each
// group of consecutive inputs of an output. A weight is scale * (code - zero).
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "compute/tensor/dtype.h"
#include "compute/tensor/tensor.h"

namespace brisk {

struct IntScheme {
  int bits = 4;                      // 4 or 8
  int64_t group = 128;               // inputs that share a scale; 0: all of an output
  bool symmetric = true;             // the zero point is 2^(bits - 1) everywhere
  bool rounds_activations = false;   // whoever runs it rounds activations to int8, per token
  DType scale_dtype = DType::kBF16;  // bf16 or f16: what scales must be exact in
};

// "int4-g32", "int4-g64", "int4-g128", each with "-asym" or without, and "w8a8": int8 for each
// output, with int8 activations. nullopt for other names.
std::optional<IntScheme> int_scheme(std::string_view name);

// "int4-g128, int4-g64, ..., w8a8".
std::string_view int_scheme_names();

// Groups of an output. REQUIRES: inputs > 0.
int64_t int_groups(const IntScheme& scheme, int64_t inputs);

struct IntCodes {
  int64_t outputs = 0;
  int64_t inputs = 0;
  std::vector<uint8_t> codes;  // (outputs, inputs), below 2^bits
  std::vector<float> scales;   // (outputs, groups), exact in the scheme's scale_dtype
  std::vector<uint8_t> zeros;  // (outputs, groups), below 2^bits; empty: symmetric
};

// Rounds to nearest outputs [0, outputs) at `weights` (outputs, inputs) row by row. The scales are
// those of compressed-tensors' minmax observer: symmetric ones span the largest magnitude with half
// of the codes' range, others the range of the group and zero. Errors: InvalidArgument where a
// weight is not finite or a scale is beyond its format.
absl::StatusOr<IntCodes> round_to_nearest(const IntScheme& scheme, std::span<const float> weights,
                                          int64_t inputs);

// The same into memory that is there: `first` is the first of the outputs in `weights`.
// REQUIRES: `out` has its sizes already (sized_codes). For several threads, each with its outputs.
absl::Status round_to_nearest(const IntScheme& scheme, std::span<const float> weights,
                              int64_t first, IntCodes* out);

// The codes as a matrix that can be run, packed and written: its rows, like those of a file, lie in
// `memory`.
struct ScaledRows {
  Tensor tensor;  // (outputs, inputs), kScaled
  std::unique_ptr<std::byte[]> memory;
};
ScaledRows scaled_rows(const IntScheme& scheme, const IntCodes& codes);

// The codes of a matrix that is in the scheme already, without loss; nullopt for any other.
// `row_of` gives the matrix's row for an output of the codes.
std::optional<IntCodes> codes_of(const IntScheme& scheme, const Tensor& matrix,
                                 const std::function<int64_t(int64_t output)>& row_of);

// Codes as files have them: in 32-bit words, lowest bits first, (outputs, ceil(inputs / each)).
std::vector<uint32_t> packed_words(int bits, std::span<const uint8_t> codes, int64_t inputs);

// Room for a matrix's codes, scales and (where the scheme has them) zeros.
IntCodes sized_codes(const IntScheme& scheme, int64_t outputs, int64_t inputs);

}  // namespace brisk
