#include "compress/quantize/round_matrix.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/quant/row_grids.h"

namespace brisk {
namespace {

// Rows on their way to where they are stored.
class Rows {
 public:
  explicit Rows(const StoredRows& out) : out_(out) {
    const MatrixFormat& format = out.format;
    if (format.scheme.has_value()) {
      codes_ = sized_codes(*format.scheme, out.rows, out.depth);
      grids_ = std::make_unique<ScaledRowGrids>(*format.scheme, codes_);
    } else if (const GridFormat* blocks = grid_format(format.dtype)) {
      grids_ = std::make_unique<BlockRowGrids>(*blocks, out.depth, out.blocks());
    }
  }

  RowGrids* grids() { return grids_.get(); }  // null: floats, which have none

  void round_nearest(int64_t row, std::span<const float> weights) {
    const MatrixFormat& format = out_.format;
    if (format.scheme.has_value()) {
      // What it would refuse check_range has refused.
      (void)round_to_nearest(*format.scheme, weights, row, &codes_);
    } else {
      format_of(format.dtype)
          .encode(weights.data(), out_.depth,
                  out_.blocks() + bytes_of(format.dtype, row * out_.depth));
    }
  }

  void finish() {
    if (!out_.format.scheme.has_value()) return;
    put_codes(*out_.format.scheme, codes_, out_.first, out_.outputs, out_.memory);
  }

 private:
  const StoredRows& out_;
  ScaledCodes codes_;
  std::unique_ptr<RowGrids> grids_;
};

void round_one(Rows& rows, RoundingMethod method, int64_t row, std::span<const float> weights,
               const float* importance) {
  if (rows.grids() == nullptr || method == RoundingMethod::kNearest) {
    rows.round_nearest(row, weights);
  } else {
    round_searched(*rows.grids(), row, weights,
                   method == RoundingMethod::kSearch ? nullptr : importance);
  }
}

absl::Status check_range(const MatrixFormat& format, const WorkingMatrix& matrix) {
  if (!format.scheme.has_value() || format.scheme->scale_dtype != DType::kF16) {
    return absl::OkStatus();
  }
  constexpr float kF16Max = 65504;
  const float codes =
      format.scheme->is_float ? 448.0f : static_cast<float>((1 << format.scheme->bits) - 1);
  const auto beyond = [&](float w) { return 2 * std::abs(w) / codes >= kF16Max; };
  if (std::none_of(matrix.values.begin(), matrix.values.end(), beyond)) return absl::OkStatus();
  return invalid_input("{} has weights beyond what scales in f16 can be", matrix.place.name);
}

}  // namespace

absl::StatusOr<RoundingLoss> round_matrix(const MatrixRounding& rounding, WorkingMatrix& matrix,
                                          const StoredRows& out, ThreadTeam& team) {
  const int64_t rows = out.rows, depth = out.depth;
  const auto row_at = [&](const std::vector<float>& values, int64_t r) {
    return std::span(values).subspan(static_cast<size_t>(r * depth), static_cast<size_t>(depth));
  };
  BRISK_RETURN_IF_ERROR(check_range(out.format, matrix));
  std::vector<float> importance;
  if (rounding.statistics != nullptr) importance = rounding.statistics->mean_square();
  const float* weighs = importance.empty() ? nullptr : importance.data();

  Rows stored(out);
  if (rounding.factor != nullptr && stored.grids() != nullptr) {
    gptq(team, *rounding.factor,
         {.weights = matrix.values.data(), .rows = rows, .depth = depth, .importance = weighs},
         *stored.grids());
  } else {
    team.run([&](Worker worker) {
      const Range mine = worker.share(rows);
      for (int64_t r = mine.begin; r < mine.end; ++r) {
        round_one(stored, rounding.method, r, row_at(matrix.values, r), weighs);
      }
    });
  }
  stored.finish();

  const Tensor tensor = out.tensor();
  std::vector<double> errors(static_cast<size_t>(rows)), squares(static_cast<size_t>(rows));
  team.run([&](Worker worker) {
    const Range mine = worker.share(rows);
    std::vector<float> after(static_cast<size_t>(depth));
    for (int64_t r = mine.begin; r < mine.end; ++r) {
      decode_values(tensor, r * depth, depth, after.data());
      const std::span<const float> weights = row_at(matrix.values, r);
      double error = 0, square = 0;
      for (size_t i = 0; i < after.size(); ++i) {
        const auto w = static_cast<double>(weights[i]);
        const double difference = static_cast<double>(after[i]) - w;
        error += difference * difference;
        square += w * w;
      }
      errors[static_cast<size_t>(r)] = error;
      squares[static_cast<size_t>(r)] = square;
    }
  });
  return RoundingLoss{.error = std::accumulate(errors.begin(), errors.end(), 0.0),
                      .square = std::accumulate(squares.begin(), squares.end(), 0.0)};
}

void round_row(const MatrixFormat& format, RoundingMethod method, std::span<const float> row,
               const float* importance, float* out) {
  const auto depth = std::ssize(row);
  const int64_t size = format.scheme.has_value() ? scaled_bytes(*format.scheme, 1, depth)
                                                 : bytes_of(format.dtype, depth);
  std::vector<std::byte> memory(static_cast<size_t>(size));
  const StoredRows stored = {
      .format = format, .memory = memory, .outputs = 1, .first = 0, .rows = 1, .depth = depth};
  Rows rows(stored);
  round_one(rows, method, 0, row, importance);
  rows.finish();
  decode_values(stored.tensor(), 0, depth, out);
}

}  // namespace brisk
