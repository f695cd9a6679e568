#include "compress/quantize/gptq.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

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

// H in that order, reversed in both directions: its lower factor, reversed again, is the upper
// factor V of H = V V^T, and U = V^-1.
RowMajor reversed_gram(std::span<const float> gram, const std::vector<int64_t>& order,
                       double damping) {
  const int64_t depth = std::ssize(order);
  RowMajor h(depth, depth);
  double trace = 0;
  for (int64_t i = 0; i < depth; ++i)
    trace += static_cast<double>(gram[static_cast<size_t>(i * depth + i)]);
  const double mean = trace > 0 ? trace / static_cast<double>(depth) : 1;
  for (int64_t i = 0; i < depth; ++i) {
    const int64_t row = order[static_cast<size_t>(depth - 1 - i)] * depth;
    for (int64_t j = 0; j < depth; ++j) {
      h(i, j) = gram[static_cast<size_t>(row + order[static_cast<size_t>(depth - 1 - j)])];
    }
    h(i, i) += static_cast<float>(damping * mean);
  }
  return h;
}

// One row of a matrix while its codes are chosen. Inputs are counted in the factor's order.
class RowInProgress {
 public:
  RowInProgress(const InverseFactor& factor, const GptqMatrix& matrix, RowGrids& grids)
      : factor_(factor),
        matrix_(matrix),
        rows_(grids),
        order_(factor.order()),
        run_(std::min(grids.run_inputs(), matrix.depth)),
        values_(static_cast<size_t>(run_)),
        codes_(static_cast<size_t>(run_)) {}

  // Rounds `inputs` of the row `index`; errors(j) = (w_j - rounded) / U_jj. `row`: all of its
  // weights.
  void round(float* row, int64_t index, Range inputs, float* errors) {
    Grid grids[kBlockRunsMax];
    for (int64_t at = inputs.begin; at < inputs.end;) {
      const int64_t first = order_[static_cast<size_t>(at)] / run_ * run_;  // as inputs lie
      const int64_t count = std::min(run_, matrix_.depth - first);
      const int64_t begin = at / run_ * run_, end = std::min(begin + count, inputs.end);
      if (at == begin) fit(row, index, first, {begin, begin + count});
      rows_.grids(index, first, grids);
      for (int64_t j = at; j < end; ++j) {
        const int64_t place = order_[static_cast<size_t>(j)] - first;
        const Grid& grid = grids[place / rows_.grid_inputs()];
        const int code = grid.nearest_code(row[j]);
        codes_[static_cast<size_t>(place)] = code;
        const float* u = factor_.row_from_diagonal(j);
        const float error = (row[j] - grid.value_of(code)) / u[0];
        errors[j - inputs.begin] = error;
        for (int64_t k = j + 1; k < inputs.end; ++k) row[k] -= error * u[k - j];
      }
      put(index, first, {at, end}, begin + count);
      at = end;
    }
  }

 private:
  // Grids of the run that lies at `first` and comes as `inputs`.
  void fit(const float* row, int64_t index, int64_t first, Range inputs) {
    for (int64_t j = inputs.begin; j < inputs.end; ++j) {
      values_[static_cast<size_t>(order_[static_cast<size_t>(j)] - first)] = row[j];
    }
    const float* importance = matrix_.importance == nullptr ? nullptr : matrix_.importance + first;
    rows_.fit(index, first, inputs.end - inputs.begin,
              {.values = values_.data(), .importance = importance, .search = true});
  }

  // A run that comes in parts, which is longer than any block, is stored code by code.
  void put(int64_t index, int64_t first, Range inputs, int64_t run_end) {
    if (run_ <= kInputsAtOnce) {
      const auto count = static_cast<size_t>(run_end - inputs.begin);
      return rows_.store(index, first, std::span(codes_).first(count));
    }
    for (int64_t j = inputs.begin; j < inputs.end; ++j) {
      const int64_t place = order_[static_cast<size_t>(j)];
      rows_.store(index, place, std::span(codes_).subspan(static_cast<size_t>(place - first), 1));
    }
  }

  const InverseFactor& factor_;
  const GptqMatrix& matrix_;
  RowGrids& rows_;
  const std::vector<int64_t>& order_;
  const int64_t run_;
  std::vector<float> values_;  // (run), as they lie
  std::vector<int> codes_;     // (run), as they lie
};

}  // namespace

absl::StatusOr<InverseFactor> InverseFactor::create(std::span<const float> gram, int64_t depth,
                                                    double damping, std::vector<int64_t> order) {
  if (!std::all_of(gram.begin(), gram.end(), [](float x) { return std::isfinite(x); })) {
    return invalid_input("the inputs seen in calibration are not finite");
  }
  if (order.empty()) {
    order.resize(static_cast<size_t>(depth));
    std::iota(order.begin(), order.end(), 0);
  }
  constexpr double kDampingMax = 10;
  for (; damping <= kDampingMax; damping = std::max(damping * 10, 1e-6)) {
    RowMajor h = reversed_gram(gram, order, damping);
    Eigen::LLT<Eigen::Ref<RowMajor>, Eigen::Lower> factors(h);  // in place
    if (factors.info() != Eigen::Success) continue;
    RowMajor inverse = RowMajor::Identity(depth, depth);
    factors.matrixL().solveInPlace(inverse);
    InverseFactor factor;
    factor.depth_ = depth;
    factor.order_ = std::move(order);
    factor.factor_.resize(static_cast<size_t>(depth * depth));
    View(factor.factor_.data(), depth, depth, Eigen::OuterStride<>(depth)) = inverse.reverse();
    return factor;
  }
  return absl::InternalError("the Gram matrix of the inputs cannot be factorised");
}

std::vector<int64_t> largest_first(std::span<const float> gram, int64_t depth, int64_t run) {
  const auto square = [&](int64_t i) { return gram[static_cast<size_t>(i * depth + i)]; };
  struct Run {
    int64_t begin, end;
    double squares;
  };
  std::vector<Run> runs;
  for (int64_t begin = 0; begin < depth; begin += run) {
    Run next = {begin, std::min(begin + run, depth), 0};
    for (int64_t i = begin; i < next.end; ++i) next.squares += static_cast<double>(square(i));
    runs.push_back(next);
  }
  const auto whole = runs.end() - (depth % run != 0 ? 1 : 0);  // a shorter one stays last
  std::stable_sort(runs.begin(), whole,
                   [](const Run& a, const Run& b) { return a.squares > b.squares; });
  std::vector<int64_t> order;
  for (const Run& each : runs) {
    const auto first = std::ssize(order);
    for (int64_t i = each.begin; i < each.end; ++i) order.push_back(i);
    std::stable_sort(order.begin() + first, order.end(),
                     [&](int64_t a, int64_t b) { return square(a) > square(b); });
  }
  return order;
}

void gptq(ThreadTeam& team, const InverseFactor& factor, const GptqMatrix& matrix,
          RowGrids& grids) {
  const int64_t depth = matrix.depth;
  team.run([&](Worker worker) {
    const Range mine = worker.share(matrix.rows, kRowsAtOnce);
    std::vector<float> errors(static_cast<size_t>(kRowsAtOnce * kInputsAtOnce));
    std::vector<float> left(static_cast<size_t>(kRowsAtOnce * depth));  // of weights, in order
    RowInProgress row(factor, matrix, grids);
    for (int64_t first = mine.begin; first < mine.end; first += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, mine.end - first);
      for (int64_t r = 0; r < rows; ++r) {
        const float* weights = matrix.weights + (first + r) * depth;
        for (int64_t j = 0; j < depth; ++j) {
          left[static_cast<size_t>(r * depth + j)] =
              weights[factor.order()[static_cast<size_t>(j)]];
        }
      }
      for (int64_t begin = 0; begin < depth; begin += kInputsAtOnce) {
        const Range inputs = {begin, std::min(begin + kInputsAtOnce, depth)};
        const int64_t count = inputs.end - inputs.begin, behind = depth - inputs.end;
        for (int64_t r = 0; r < rows; ++r) {
          row.round(left.data() + r * depth, first + r, inputs, errors.data() + r * kInputsAtOnce);
        }
        if (behind == 0) continue;
        View weights(left.data() + inputs.end, rows, behind, Eigen::OuterStride<>(depth));
        const ConstView error(errors.data(), rows, count, Eigen::OuterStride<>(kInputsAtOnce));
        const ConstView u(factor.data() + begin * depth + inputs.end, count, behind,
                          Eigen::OuterStride<>(depth));
        weights.noalias() -= error * u;
      }
    }
  });
}

}  // namespace brisk
