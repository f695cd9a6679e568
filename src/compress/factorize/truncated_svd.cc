#include "compress/factorize/truncated_svd.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/status.h"

namespace brisk {
namespace {

using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Solver = Eigen::SelfAdjointEigenSolver<Matrix>;

Eigen::Map<const Floats> weights_of(const WeightsAndInputs& job) {
  return {job.weights.data(), job.rows, job.depth};
}

// x w^T of x (rows, depth) and w (cols, depth).
Floats product(const KernelTable& kernels, const Eigen::Ref<const Floats>& x,
               const Eigen::Ref<const Floats>& w) {
  constexpr int64_t kRows = 64, kCols = 256;  // of a block, whose inputs stay in cache
  Floats y(x.rows(), w.rows());
  for (int64_t row = 0; row < x.rows(); row += kRows) {
    for (int64_t col = 0; col < w.rows(); col += kCols) {
      kernels.linear_f32({.x = x.data() + row * x.outerStride(),
                          .x_stride = x.outerStride(),
                          .rows = std::min(kRows, x.rows() - row),
                          .w = w.data() + col * w.outerStride(),
                          .w_row_bytes = w.outerStride() * static_cast<int64_t>(sizeof(float)),
                          .cols = std::min(kCols, w.rows() - col),
                          .depth = x.cols(),
                          .bias = nullptr,
                          .y = y.data() + row * y.outerStride() + col,
                          .y_stride = y.outerStride(),
                          .add = false});
    }
  }
  return y;
}

Floats damped_gram(const WeightsAndInputs& job) {
  Floats gram = Eigen::Map<const Floats>(job.gram.data(), job.depth, job.depth);
  const double mean = gram.diagonal().cast<double>().sum() / static_cast<double>(job.depth);
  gram.diagonal().array() += static_cast<float>(job.damping * (mean > 0 ? mean : 1));
  return gram;
}

// The singular vectors of W S on its smaller side, as eigenvectors of (W S)(W S)^T = W G W^T, or of
// (W S)^T (W S) = S^T W^T W S.
struct Problem {
  Floats turned;  // W^T
  Matrix factor;  // S, lower; empty: the identity, or not needed
  Matrix squared;
};

absl::StatusOr<Problem> pose(const WeightsAndInputs& job, const KernelTable& kernels) {
  Problem problem;
  const Eigen::Map<const Floats> w = weights_of(job);
  problem.turned = w.transpose();
  const bool wide = job.rows <= job.depth;
  Floats squared;
  if (wide) {
    squared = job.gram.empty() ? product(kernels, w, w)
                               : product(kernels, product(kernels, w, damped_gram(job)), w);
  } else {
    squared = product(kernels, problem.turned, problem.turned);
  }
  if (!wide && !job.gram.empty()) {
    const Eigen::LLT<Matrix> cholesky(damped_gram(job).cast<double>());
    if (cholesky.info() != Eigen::Success) {
      return invalid_input("the Gram matrix of its inputs cannot be factorised; raise --damping");
    }
    problem.factor = cholesky.matrixL();
    const Floats turned_factor = problem.factor.transpose().cast<float>();  // S^T
    squared = product(kernels, product(kernels, turned_factor, squared), turned_factor);
  }
  problem.squared = squared.cast<double>();
  problem.squared = (problem.squared + problem.squared.transpose()).eval() / 2;
  if (!problem.squared.allFinite()) {
    return invalid_input("the inputs that calibration makes for it are not finite");
  }
  return problem;
}

absl::StatusOr<Solver> solve(const Problem& problem, int options) {
  Solver solver(problem.squared, options);
  if (solver.info() != Eigen::Success) {
    return absl::InternalError("its singular values do not converge");
  }
  return solver;
}

std::vector<double> descending(const Eigen::VectorXd& values) {
  std::vector<double> energies(values.data(), values.data() + values.size());
  std::reverse(energies.begin(), energies.end());
  for (double& energy : energies) energy = std::max(energy, 0.0);
  return energies;
}

// Gives both the same length; where one has none, both vanish.
void balance(Eigen::Ref<Eigen::RowVectorXf> a, Eigen::Ref<Eigen::RowVectorXf> b) {
  const double of_a = a.cast<double>().norm(), of_b = b.cast<double>().norm();
  const bool vanishes = !(of_a > 0 && of_b > 0);
  a *= vanishes ? 0 : static_cast<float>(std::sqrt(of_b / of_a));
  b *= vanishes ? 0 : static_cast<float>(std::sqrt(of_a / of_b));
}

}  // namespace

absl::StatusOr<std::vector<double>> TruncatedSvd::measure_energies(const WeightsAndInputs& job,
                                                                   const KernelTable& kernels) {
  BRISK_ASSIGN_OR_RETURN(const Problem problem, pose(job, kernels));
  BRISK_ASSIGN_OR_RETURN(const Solver solver, solve(problem, Eigen::EigenvaluesOnly));
  return descending(solver.eigenvalues());
}

absl::StatusOr<TruncatedSvd> TruncatedSvd::decompose(const WeightsAndInputs& job,
                                                     const KernelTable& kernels) {
  BRISK_ASSIGN_OR_RETURN(const Problem problem, pose(job, kernels));
  BRISK_ASSIGN_OR_RETURN(const Solver solver, solve(problem, Eigen::ComputeEigenvectors));
  TruncatedSvd svd;
  svd.rows_ = job.rows;
  svd.depth_ = job.depth;
  svd.energies_ = descending(solver.eigenvalues());
  // As rows, largest first.
  const Matrix vectors = solver.eigenvectors().rowwise().reverse().transpose();
  const Eigen::Map<const Floats> w = weights_of(job);
  Floats a, b;
  if (job.rows <= job.depth) {
    // U_r^T W = Sigma_r V_r^T S^-1: nothing is to be inverted.
    b = vectors.cast<float>();
    a = product(kernels, b, problem.turned);
  } else if (problem.factor.size() == 0) {
    a = vectors.cast<float>();
    b = product(kernels, a, w);
  } else {
    // V_r^T S^-1: the solution of S^T z = v for each.
    const auto upper = problem.factor.transpose().triangularView<Eigen::Upper>();
    a = upper.solve(vectors.transpose()).transpose().cast<float>();
    b = product(kernels, product(kernels, vectors.cast<float>(), problem.factor.cast<float>()), w);
  }
  for (int64_t i = 0; i < vectors.rows(); ++i) balance(a.row(i), b.row(i));
  svd.a_.assign(a.data(), a.data() + a.size());
  svd.b_.assign(b.data(), b.data() + b.size());
  return svd;
}

LowRankFactors TruncatedSvd::factors(int64_t rank) const {
  BRISK_CHECK(rank >= 1 && rank <= std::ssize(energies_));
  LowRankFactors factors;
  factors.a.assign(a_.begin(), a_.begin() + rank * depth_);
  factors.b.resize(static_cast<size_t>(rows_ * rank));
  for (int64_t i = 0; i < rank; ++i) {
    for (int64_t r = 0; r < rows_; ++r) {
      factors.b[static_cast<size_t>(r * rank + i)] = b_[static_cast<size_t>(i * rows_ + r)];
    }
  }
  return factors;
}

// b = W G a^T (a G a^T)^-1.
absl::StatusOr<std::vector<float>> fit_b(const WeightsAndInputs& job, std::span<const float> a,
                                         const KernelTable& kernels) {
  constexpr double kRidge = 1e-12;  // of components that are zero, whose targets are zero too
  const int64_t rank = std::ssize(a) / job.depth;
  const Eigen::Map<const Floats> reduce(a.data(), rank, job.depth);
  const Floats seen =
      job.gram.empty() ? Floats(reduce) : product(kernels, reduce, damped_gram(job));  // a G
  // In double: rounded components may be nearly alike.
  Matrix inner = seen.cast<double>() * reduce.cast<double>().transpose();
  const double mean = inner.trace() / static_cast<double>(rank);
  inner.diagonal().array() += kRidge * (mean > 0 ? mean : 1);
  const Eigen::LLT<Matrix> factors(inner);
  if (!inner.allFinite() || factors.info() != Eigen::Success) {
    return invalid_input("its factors cannot be fitted to its inputs; raise --damping");
  }
  const Floats targets = product(kernels, seen, weights_of(job));
  const Matrix fitted = factors.solve(targets.cast<double>()).transpose();
  std::vector<float> b(static_cast<size_t>(job.rows * rank));
  Eigen::Map<Floats>(b.data(), job.rows, rank) = fitted.cast<float>();
  return b;
}

}  // namespace brisk
