#include "compress/prune/sparsegpt.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <vector>

namespace brisk {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<RowMajor, 0, Eigen::OuterStride<>>;
using ConstView = Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>>;

constexpr int64_t kInputsAtOnce = 128;
constexpr int64_t kRowsAtOnce = 32;  // always the same, so that sums do not depend on the team

class Pruner {
 public:
  Pruner(ThreadTeam& team, const InverseFactor& factor, const SparsityPattern& pattern,
         float* weights, int64_t rows)
      : team_(team),
        factor_(factor),
        pattern_(pattern),
        weights_(weights),
        rows_(rows),
        depth_(factor.depth()),
        inputs_(pattern.has_groups() ? kInputsAtOnce / pattern.group * pattern.group
                                     : kInputsAtOnce),
        scores_(static_cast<size_t>(rows * inputs_)),
        errors_(static_cast<size_t>(rows * inputs_)) {}

  void run() {
    for (int64_t begin = 0; begin < depth_; begin += inputs_) {
      const Range inputs = {begin, std::min(begin + inputs_, depth_)};
      float threshold = 0;
      if (!pattern_.has_groups()) threshold = block_threshold(inputs);
      team_.run([&](Worker worker) {
        const Range mine = worker.share(rows_, kRowsAtOnce);
        for (int64_t r = mine.begin; r < mine.end; ++r) prune_inputs(inputs, threshold, r);
        for (int64_t r = mine.begin; r < mine.end; r += kRowsAtOnce) {
          correct_rest(inputs, {r, std::min(r + kRowsAtOnce, mine.end)});
        }
      });
    }
  }

 private:
  float* row(int64_t r) const { return weights_ + r * depth_; }
  float score(int64_t r, int64_t j) const {
    const float share = row(r)[j] / factor_.row_from_diagonal(j)[0];
    return share * share;
  }

  // Scores of all rows of these inputs; those up to what is returned go.
  float block_threshold(Range inputs) {
    const int64_t width = inputs.end - inputs.begin;
    team_.run([&](Worker worker) {
      const Range mine = worker.share(rows_);
      for (int64_t r = mine.begin; r < mine.end; ++r) {
        for (int64_t i = 0; i < width; ++i) {
          scores_[static_cast<size_t>(r * width + i)] = score(r, inputs.begin + i);
        }
      }
    });
    const int64_t total = rows_ * width;
    const int64_t count = std::llround(pattern_.sparsity * static_cast<double>(total));
    if (count == 0) return -1;
    const auto nth = scores_.begin() + (count - 1);
    std::nth_element(scores_.begin(), nth, scores_.begin() + total);
    return *nth;
  }

  // One row's inputs in order; groups choose when their first input's turn comes.
  void prune_inputs(Range inputs, float threshold, int64_t r) {
    float* w = row(r);
    float* errors = errors_.data() + r * inputs_;
    bool goes[kInputsAtOnce] = {};
    if (!pattern_.has_groups()) {
      for (int64_t j = inputs.begin; j < inputs.end; ++j) {
        goes[j - inputs.begin] = score(r, j) <= threshold;
      }
    }
    for (int64_t j = inputs.begin; j < inputs.end; ++j) {
      const int64_t i = j - inputs.begin;
      if (pattern_.has_groups() && i % pattern_.group == 0) choose_group(r, j, goes + i);
      const float* u = factor_.row_from_diagonal(j);
      errors[i] = goes[i] ? w[j] / u[0] : 0;
      if (!goes[i]) continue;
      for (int64_t k = j + 1; k < inputs.end; ++k) w[k] -= errors[i] * u[k - j];
      w[j] = 0;
    }
  }

  void choose_group(int64_t r, int64_t first, bool* goes) const {
    float scores[kInputsAtOnce], stays[kInputsAtOnce];
    const auto size = static_cast<size_t>(std::min<int64_t>(pattern_.group, depth_ - first));
    for (size_t i = 0; i < size; ++i) {
      scores[i] = score(r, first + static_cast<int64_t>(i));
      stays[i] = 1;
    }
    prune_row(pattern_, {scores, size}, {stays, size});
    for (size_t i = 0; i < size; ++i) goes[i] = stays[i] == 0;
  }

  // The inputs behind make up for the errors of these.
  void correct_rest(Range inputs, Range rows) {
    const int64_t left = depth_ - inputs.end, width = inputs.end - inputs.begin;
    const int64_t count = rows.end - rows.begin;
    if (left == 0 || count == 0) return;
    View rest(row(rows.begin) + inputs.end, count, left, Eigen::OuterStride<>(depth_));
    const ConstView errors(errors_.data() + rows.begin * inputs_, count, width,
                           Eigen::OuterStride<>(inputs_));
    const ConstView u(factor_.data() + inputs.begin * depth_ + inputs.end, width, left,
                      Eigen::OuterStride<>(depth_));
    rest.noalias() -= errors * u;
  }

  ThreadTeam& team_;
  const InverseFactor& factor_;
  const SparsityPattern& pattern_;
  float* const weights_;
  const int64_t rows_, depth_, inputs_;
  std::vector<float> scores_, errors_;
};

}  // namespace

void sparsegpt(ThreadTeam& team, const InverseFactor& factor, const SparsityPattern& pattern,
               float* weights, int64_t rows) {
  Pruner(team, factor, pattern, weights, rows).run();
}

}  // namespace brisk
