// A matrix of weights to the codes of what it is stored as, by any of the methods.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>

#include "compress/calibrate/input_statistics.h"
#include "compress/edit/working_matrix.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/quantize.h"

namespace brisk {

struct MatrixRounding {
  RoundingMethod method = RoundingMethod::kNearest;
  const InputStatistics* statistics = nullptr;  // null: nothing is known of the inputs
  const InverseFactor* factor = nullptr;        // of the inputs; null: errors are not made up for
};

// What rounding took.
struct RoundingLoss {
  double error = 0;   // sum of squared differences
  double square = 0;  // of squared weights

  void add(const RoundingLoss& other) {
    error += other.error;
    square += other.square;
  }
  double relative() const { return square > 0 ? error / square : 0; }
};

// Writes the rows to `out`. What `matrix` holds is used up. Errors: InvalidArgument where scales
// cannot be as large as the weights need.
absl::StatusOr<RoundingLoss> round_matrix(const MatrixRounding& rounding, WorkingMatrix& matrix,
                                          const StoredRows& out, ThreadTeam& team);

// What one row would decode to; GPTQ is taken for a search weighed by importance.
void round_row(const MatrixFormat& format, RoundingMethod method, std::span<const float> row,
               const float* importance, float* out);

}  // namespace brisk
