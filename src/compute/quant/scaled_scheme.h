// Codes of a matrix as a quantiser chooses them: integers or fp8, a scale and perhaps a zero point
// for each group of consecutive inputs of an output. A weight is scale * (code - zero).
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

struct ScaledScheme {
  int bits = 4;                      // 4 or 8
  bool is_float = false;             // codes are fp8 (e4m3) instead of integers: 8 bits, symmetric
  int64_t group = 128;               // inputs that share a scale; 0: all of an output
  bool symmetric = true;             // the zero point is 2^(bits - 1) everywhere
  bool rounds_activations = false;   // whoever runs it rounds activations as well, per token
  DType scale_dtype = DType::kBF16;  // bf16 or f16: what scales must be exact in
};

// "int4-g32", "int4-g64", "int4-g128", each with "-asym" or without; "w8a8": int8 with a scale for
// each output, with int8 activations; "fp8": the same in e4m3. nullopt for other names.
std::optional<ScaledScheme> scaled_scheme(std::string_view name);

// What scaled_scheme calls it.
std::string_view name_of(const ScaledScheme& scheme);

// "int4-g128, int4-g64, ..., w8a8, fp8".
std::string_view scaled_scheme_names();

// Groups of an output. REQUIRES: inputs > 0.
int64_t scaled_groups(const ScaledScheme& scheme, int64_t inputs);

// Bits of a weight, scales and zero points included.
double bits_per_weight(const ScaledScheme& scheme, int64_t inputs);

struct ScaledCodes {
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
absl::StatusOr<ScaledCodes> round_to_nearest(const ScaledScheme& scheme,
                                             std::span<const float> weights, int64_t inputs);

// The same into memory that is there: `first` is the first of the outputs in `weights`.
// REQUIRES: `out` has its sizes already (sized_codes). For several threads, each with its outputs.
absl::Status round_to_nearest(const ScaledScheme& scheme, std::span<const float> weights,
                              int64_t first, ScaledCodes* out);

// The scale and the zero point of a group of weights. `importance`: (weights) or null. `search`:
// those with the least weighted error, which may clip, instead of those that cover the group; fp8,
// whose steps are finest where weights are small, covers it always. A group of zeros has the
// scale 1.
struct GroupScale {
  float scale = 1;  // exact in the scheme's scale_dtype, finite, > 0
  int zero = 0;
};
GroupScale fit_group(const ScaledScheme& scheme, std::span<const float> weights,
                     const float* importance, bool search);

// Where the codes of a tensor lie while it is run, packed and written: views of one memory of
// scaled_bytes.
int64_t scaled_bytes(const ScaledScheme& scheme, int64_t outputs, int64_t inputs);
// (outputs, inputs), kScaled. `memory` outlives it.
Tensor scaled_tensor(const ScaledScheme& scheme, int64_t outputs, int64_t inputs,
                     std::span<const std::byte> memory);
// Writes codes as outputs [first, first + codes.outputs) of a tensor of `outputs`. Threads may each
// write others.
void put_codes(const ScaledScheme& scheme, const ScaledCodes& codes, int64_t first, int64_t outputs,
               std::span<std::byte> memory);

// Whether a matrix is in the scheme, but for the format of its scales.
bool is_in_scheme(const ScaledScheme& scheme, const ScaledMatrix& matrix);

// The codes of a matrix that is in the scheme already, without loss; nullopt for any other.
// `row_of` gives the matrix's row for an output of the codes, which has so many outputs.
std::optional<ScaledCodes> codes_of(const ScaledScheme& scheme, const Tensor& matrix,
                                    int64_t outputs,
                                    const std::function<int64_t(int64_t output)>& row_of);

// Codes as files have them: in 32-bit words, lowest bits first, (outputs, ceil(inputs / each)).
std::vector<uint32_t> packed_words(int bits, std::span<const uint8_t> codes, int64_t inputs);

// Room for a matrix's codes, scales and (where the scheme has them) zeros.
ScaledCodes sized_codes(const ScaledScheme& scheme, int64_t outputs, int64_t inputs);

}  // namespace brisk
