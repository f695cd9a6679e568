// A matrix of weights to a format's bytes, by any of the methods.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compress/calibrate/input_statistics.h"
#include "compress/edit/working_matrix.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/quantize.h"

namespace brisk {

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
