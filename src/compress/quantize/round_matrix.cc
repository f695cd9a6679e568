#include "compress/quantize/round_matrix.h"

#include <numeric>
#include <vector>

#include "compute/quant/format.h"
#include "compute/quant/grids.h"

namespace brisk {
namespace {

void encode_row(DType dtype, RoundingMethod method, const float* row, const float* importance,
                int64_t depth, std::byte* bytes) {
  const GridFormat* grids = grid_format(dtype);
  if (grids == nullptr || method == RoundingMethod::kNearest) {
    format_of(dtype).encode(row, depth, bytes);
  } else {
    encode_searched(*grids, row, method == RoundingMethod::kSearch ? nullptr : importance, depth,
                    bytes);
  }
}

}  // namespace

double round_matrix(const MatrixRounding& rounding, WorkingMatrix& matrix, std::byte* bytes,
                    ThreadTeam& team) {
  const int64_t rows = matrix.place.rows, depth = matrix.place.depth;
  const int64_t row_bytes = bytes_of(rounding.dtype, depth);
  std::vector<float> importance;
  if (rounding.statistics != nullptr) importance = rounding.statistics->mean_square();
  const float* weighs = importance.empty() ? nullptr : importance.data();

  const std::vector<float> before = matrix.values;
  const GridFormat* grids = grid_format(rounding.dtype);
  if (rounding.factor != nullptr && grids != nullptr) {
    gptq(team, *rounding.factor, *grids,
         {.weights = matrix.values.data(), .rows = rows, .depth = depth, .importance = weighs},
         bytes);
  } else {
    team.run([&](Worker worker) {
      const Range mine = worker.share(rows);
      for (int64_t r = mine.begin; r < mine.end; ++r) {
        encode_row(rounding.dtype, rounding.method, matrix.values.data() + r * depth, weighs, depth,
                   bytes + r * row_bytes);
      }
    });
  }
  std::vector<double> errors(static_cast<size_t>(rows)), squares(static_cast<size_t>(rows));
  team.run([&](Worker worker) {
    const Range mine = worker.share(rows);
    std::vector<float> after(static_cast<size_t>(depth));
    for (int64_t r = mine.begin; r < mine.end; ++r) {
      format_of(rounding.dtype).decode(bytes + r * row_bytes, depth, after.data());
      double error = 0, square = 0;
      for (int64_t i = 0; i < depth; ++i) {
        const double w = static_cast<double>(before[static_cast<size_t>(r * depth + i)]);
        const double difference = static_cast<double>(after[static_cast<size_t>(i)]) - w;
        error += difference * difference;
        square += w * w;
      }
      errors[static_cast<size_t>(r)] = error;
      squares[static_cast<size_t>(r)] = square;
    }
  });
  const double square = std::accumulate(squares.begin(), squares.end(), 0.0);
  return square > 0 ? std::accumulate(errors.begin(), errors.end(), 0.0) / square : 0;
}

void round_row(DType dtype, RoundingMethod method, const float* row, const float* importance,
               int64_t depth, float* out) {
  std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(dtype, depth)));
  encode_row(dtype, method, row, importance, depth, bytes.data());
  format_of(dtype).decode(bytes.data(), depth, out);
}

}  // namespace brisk
