#include "compress/prune/refit.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "base/status.h"

namespace brisk {

absl::Status refit_columns(std::span<const float> gram, int64_t depth,
                           std::span<const int64_t> kept, double damping,
                           std::vector<float>& weights) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> g(gram.data(), depth, depth);
  const int64_t rows = std::ssize(weights) / depth, count = std::ssize(kept);
  const Eigen::Map<const Matrix> w(weights.data(), rows, depth);
  const double mean = static_cast<double>(g.trace()) / static_cast<double>(depth);
  const auto shift = static_cast<float>(damping * (mean > 0 ? mean : 1));
  Matrix inner(count, count);  // of the kept inputs
  Matrix outer(count, depth);
  Matrix own(rows, count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = kept[static_cast<size_t>(i)];
    outer.row(i) = g.row(from);
    own.col(i) = w.col(from);
    for (int64_t j = 0; j < count; ++j) inner(i, j) = g(from, kept[static_cast<size_t>(j)]);
  }
  // Solved for the correction to the weights as they are, so that damping holds them there.
  const Matrix missing = outer * w.transpose() - inner * own.transpose();
  inner.diagonal().array() += shift;
  const Eigen::LLT<Matrix> factors(inner);
  if (factors.info() != Eigen::Success) {
    return absl::InternalError("the Gram matrix of the inputs that stay cannot be factorised");
  }
  const Matrix correction = factors.solve(missing);
  weights.resize(static_cast<size_t>(rows * count));
  Eigen::Map<Matrix>(weights.data(), rows, count) = own + correction.transpose();
  return absl::OkStatus();
}

}  // namespace brisk
