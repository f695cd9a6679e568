#include "compress/quantize/gptq.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace brisk {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<RowMajor, 0, Eigen::OuterStride<>>;
using ConstView = Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>>;

// Inputs whose errors are collected before the inputs behind them are corrected at once; whole
// blocks of every format, whole groups of every scheme that has them.
constexpr int64_t kInputsAtOnce = 256;
constexpr int64_t kRowsAtOnce = 32;  // of weights, whose errors fit the cache

// H reversed in both directions: its lower factor, reversed again, is the upper factor V of
// H = V V^T, and U = V^-1.
RowMajor reversed_gram(std::span<const float> gram, int64_t depth, double damping) {
  RowMajor h(depth, depth);
  double trace = 0;
  for (int64_t i = 0; i < depth; ++i)
    trace += static_cast<double>(gram[static_cast<size_t>(i * depth + i)]);
  const double mean = trace > 0 ? trace / static_cast<double>(depth) : 1;
  for (int64_t i = 0; i < depth; ++i) {
    for (int64_t j = 0; j < depth; ++j) {
      const int64_t from = (depth - 1 - i) * depth + depth - 1 - j;
      h(i, j) = gram[static_cast<size_t>(from)];
    }
    h(i, i) += static_cast<float>(damping * mean);
  }
  return h;
}

// Inputs of one row of the matrix.
struct RowPart {
  float* row;  // all of its weights
  int64_t index;
  Range inputs;
};

// Rounds them; errors(j) = (w_j - rounded) / U_jj.
void round_inputs(const InverseFactor& factor, const GptqMatrix& matrix, const RowPart& part,
                  RowGrids& rows, float* errors) {
  const auto [begin, last] = part.inputs;
  const int64_t run = rows.run_inputs(), shared = rows.grid_inputs();
  Grid grids[kBlockRunsMax];
  int codes[kInputsAtOnce];
  for (int64_t at = begin; at < last;) {
    const int64_t first = at / run * run, run_end = std::min(first + run, matrix.depth);
    const int64_t end = std::min(run_end, last);
    if (at == first) {
      const float* importance = matrix.importance == nullptr ? nullptr : matrix.importance + at;
      rows.fit(part.index, at, run_end - at,
               {.values = part.row + at, .importance = importance, .search = true});
    }
    rows.grids(part.index, first, grids);
    for (int64_t j = at; j < end; ++j) {
      const Grid& grid = grids[(j - first) / shared];
      const int code = grid.nearest_code(part.row[j]);
      codes[j - at] = code;
      const float* u = factor.row_from_diagonal(j);
      const float error = (part.row[j] - grid.value_of(code)) / u[0];
      errors[j - begin] = error;
      for (int64_t k = j + 1; k < last; ++k) part.row[k] -= error * u[k - j];
    }
    rows.store(part.index, at, {codes, static_cast<size_t>(end - at)});
    at = end;
  }
}

}  // namespace

absl::StatusOr<InverseFactor> InverseFactor::create(std::span<const float> gram, int64_t depth,
                                                    double damping) {
  if (!std::all_of(gram.begin(), gram.end(), [](float x) { return std::isfinite(x); })) {
    return invalid_input("the inputs seen in calibration are not finite");
  }
  constexpr double kDampingMax = 10;
  for (; damping <= kDampingMax; damping = std::max(damping * 10, 1e-6)) {
    RowMajor h = reversed_gram(gram, depth, damping);
    Eigen::LLT<Eigen::Ref<RowMajor>, Eigen::Lower> factors(h);  // in place
    if (factors.info() != Eigen::Success) continue;
    RowMajor inverse = RowMajor::Identity(depth, depth);
    factors.matrixL().solveInPlace(inverse);
    InverseFactor factor;
    factor.depth_ = depth;
    factor.factor_.resize(static_cast<size_t>(depth * depth));
    View(factor.factor_.data(), depth, depth, Eigen::OuterStride<>(depth)) = inverse.reverse();
    return factor;
  }
  return absl::InternalError("the Gram matrix of the inputs cannot be factorised");
}

void gptq(ThreadTeam& team, const InverseFactor& factor, const GptqMatrix& matrix,
          RowGrids& grids) {
  const int64_t depth = matrix.depth;
  team.run([&](Worker worker) {
    const Range mine = worker.share(matrix.rows, kRowsAtOnce);
    std::vector<float> errors(static_cast<size_t>(kRowsAtOnce * kInputsAtOnce));
    for (int64_t first = mine.begin; first < mine.end; first += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, mine.end - first);
      for (int64_t begin = 0; begin < depth; begin += kInputsAtOnce) {
        const Range inputs = {begin, std::min(begin + kInputsAtOnce, depth)};
        const int64_t count = inputs.end - inputs.begin;
        for (int64_t r = 0; r < rows; ++r) {
          round_inputs(
              factor, matrix,
              {.row = matrix.weights + (first + r) * depth, .index = first + r, .inputs = inputs},
              grids, errors.data() + r * kInputsAtOnce);
        }
        const int64_t left = depth - inputs.end;
        if (left == 0) continue;
        View weights(matrix.weights + first * depth + inputs.end, rows, left,
                     Eigen::OuterStride<>(depth));
        const ConstView error(errors.data(), rows, count, Eigen::OuterStride<>(kInputsAtOnce));
        const ConstView u(factor.data() + begin * depth + inputs.end, count, left,
                          Eigen::OuterStride<>(depth));
        weights.noalias() -= error * u;
      }
    }
  });
}

}  // namespace brisk
