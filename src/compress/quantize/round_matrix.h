// A matrix of weights to a format's bytes, by any of the methods.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>

#include "compress/calibrate/input_statistics.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/quantize.h"
#include "compress/quantize/smooth.h"

namespace brisk {

// Its values as f32. Errors: InvalidArgument naming the matrix when one is not finite.
absl::StatusOr<WorkingMatrix> decode_matrix(LayerMatrix place);

struct MatrixRounding {
  DType dtype = DType::kF32;
  RoundingMethod method = RoundingMethod::kNearest;
  const InputStatistics* statistics = nullptr;  // null: nothing is known of the inputs
  const InverseFactor* factor = nullptr;        // of the inputs; null: errors are not made up for
};

// Writes the rows to `bytes` and returns the squared error relative to the squares of the weights.
// What `matrix` holds is used up.
double round_matrix(const MatrixRounding& rounding, WorkingMatrix& matrix, std::byte* bytes,
                    ThreadTeam& team);

// What one row would decode to; GPTQ is taken for a search weighed by importance.
void round_row(DType dtype, RoundingMethod method, const float* row, const float* importance,
               int64_t depth, float* out);

}  // namespace brisk
