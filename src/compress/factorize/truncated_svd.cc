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

Matrix weights_of(const WeightsAndInputs& job) {
  return Eigen::Map<const Floats>(job.weights.data(), job.rows, job.depth).cast<double>();
}

Matrix damped_gram(const WeightsAndInputs& job) {
  Matrix gram = Eigen::Map<const Floats>(job.gram.data(), job.depth, job.depth).cast<double>();
  const double mean = gram.trace() / static_cast<double>(job.depth);
  gram.diagonal().array() += job.damping * (mean > 0 ? mean : 1);
  return gram;
}

// The singular vectors of W S on its smaller side, as eigenvectors of (W S)(W S)^T = W G W^T, or of
// (W S)^T (W S).
struct Problem {
  Matrix weights;  // W
  Matrix factor;   // S, lower; empty: the identity, or not needed
  Matrix squared;
};

absl::StatusOr<Problem> pose(const WeightsAndInputs& job) {
  Problem problem;
  problem.weights = weights_of(job);
  const Matrix& w = problem.weights;
  const bool wide = job.rows <= job.depth;
  if (job.gram.empty()) {
    problem.squared = wide ? Matrix(w * w.transpose()) : Matrix(w.transpose() * w);
  } else if (wide) {
    problem.squared = (w * damped_gram(job)) * w.transpose();
  } else {
    const Eigen::LLT<Matrix> cholesky(damped_gram(job));
    if (cholesky.info() != Eigen::Success) {
      return invalid_input("the Gram matrix of its inputs cannot be factorised; raise --damping");
    }
    problem.factor = cholesky.matrixL();
    const Matrix made = w * problem.factor;
    problem.squared = made.transpose() * made;
  }
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
void balance(Eigen::Ref<Eigen::RowVectorXd> a, Eigen::Ref<Eigen::RowVectorXd> b) {
  const double of_a = a.norm(), of_b = b.norm();
  const bool vanishes = !(of_a > 0 && of_b > 0);
  a *= vanishes ? 0 : std::sqrt(of_b / of_a);
  b *= vanishes ? 0 : std::sqrt(of_a / of_b);
}

}  // namespace

absl::StatusOr<std::vector<double>> TruncatedSvd::measure_energies(const WeightsAndInputs& job) {
  BRISK_ASSIGN_OR_RETURN(const Problem problem, pose(job));
  BRISK_ASSIGN_OR_RETURN(const Solver solver, solve(problem, Eigen::EigenvaluesOnly));
  return descending(solver.eigenvalues());
}

absl::StatusOr<TruncatedSvd> TruncatedSvd::decompose(const WeightsAndInputs& job) {
  BRISK_ASSIGN_OR_RETURN(const Problem problem, pose(job));
  BRISK_ASSIGN_OR_RETURN(const Solver solver, solve(problem, Eigen::ComputeEigenvectors));
  TruncatedSvd svd;
  svd.rows_ = job.rows;
  svd.depth_ = job.depth;
  svd.energies_ = descending(solver.eigenvalues());
  // As rows, largest first.
  const Matrix vectors = solver.eigenvectors().rowwise().reverse().transpose();
  Matrix a, b;
  if (job.rows <= job.depth) {
    // U_r^T W = Sigma_r V_r^T S^-1: nothing is to be inverted.
    a = vectors * problem.weights;
    b = vectors;
  } else if (problem.factor.size() == 0) {
    a = vectors;
    b = vectors * problem.weights.transpose();
  } else {
    // V_r^T S^-1: the solution of S^T z = v for each.
    const auto upper = problem.factor.transpose().triangularView<Eigen::Upper>();
    a = upper.solve(vectors.transpose()).transpose();
    b = (vectors * problem.factor.transpose()) * problem.weights.transpose();
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
      factors.b[static_cast<size_t>(r * rank + i)] =
          static_cast<float>(b_[static_cast<size_t>(i * rows_ + r)]);
    }
  }
  return factors;
}

// b = W G a^T (a G a^T)^-1.
absl::StatusOr<std::vector<float>> fit_b(const WeightsAndInputs& job, std::span<const float> a) {
  constexpr double kRidge = 1e-12;  // of components that are zero, whose targets are zero too
  const int64_t rank = std::ssize(a) / job.depth;
  const Matrix reduce = Eigen::Map<const Floats>(a.data(), rank, job.depth).cast<double>();
  const Matrix seen = job.gram.empty() ? reduce : Matrix(reduce * damped_gram(job));  // a G
  Matrix inner = seen * reduce.transpose();
  const double mean = inner.trace() / static_cast<double>(rank);
  inner.diagonal().array() += kRidge * (mean > 0 ? mean : 1);
  const Eigen::LLT<Matrix> factors(inner);
  if (!inner.allFinite() || factors.info() != Eigen::Success) {
    return invalid_input("its factors cannot be fitted to its inputs; raise --damping");
  }
  const Matrix fitted = factors.solve(seen * weights_of(job).transpose()).transpose();
  std::vector<float> b(static_cast<size_t>(job.rows * rank));
  Eigen::Map<Floats>(b.data(), job.rows, rank) = fitted.cast<float>();
  return b;
}

}  // namespace brisk
