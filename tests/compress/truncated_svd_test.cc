#include "compress/factorize/truncated_svd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/rng.h"
#include "compute/kernels/cpu/dispatch.h"

namespace brisk {
namespace {

const KernelTable& kernels() { return **kernels_from_environment(); }

std::vector<float> random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (float& value : values) value = static_cast<float>(rng.next_gaussian());
  return values;
}

// Sums of x x^T of `count` inputs, some directions of which are much larger than others.
std::vector<float> gram_of_inputs(int64_t depth, int64_t count, uint64_t seed) {
  const std::vector<float> inputs = random_matrix(count, depth, seed);
  std::vector<float> gram(static_cast<size_t>(depth * depth));
  for (int64_t i = 0; i < depth; ++i) {
    for (int64_t j = 0; j < depth; ++j) {
      for (int64_t n = 0; n < count; ++n) {
        gram[static_cast<size_t>(i * depth + j)] += inputs[static_cast<size_t>(n * depth + i)] *
                                                    inputs[static_cast<size_t>(n * depth + j)] /
                                                    static_cast<float>((1 + i) * (1 + j));
      }
    }
  }
  return gram;
}

// W - b a.
std::vector<float> rest(const WeightsAndInputs& job, const LowRankFactors& factors) {
  const int64_t rank = std::ssize(factors.a) / job.depth;
  std::vector<float> rest(job.weights.begin(), job.weights.end());
  for (int64_t r = 0; r < job.rows; ++r) {
    for (int64_t k = 0; k < rank; ++k) {
      for (int64_t c = 0; c < job.depth; ++c) {
        rest[static_cast<size_t>(r * job.depth + c)] -=
            factors.b[static_cast<size_t>(r * rank + k)] *
            factors.a[static_cast<size_t>(k * job.depth + c)];
      }
    }
  }
  return rest;
}

// tr(E (G + damping) E^T): the squared size of what E makes of the inputs.
double energy(const WeightsAndInputs& job, const std::vector<float>& e) {
  double mean = 0;
  for (int64_t i = 0; i < job.depth && !job.gram.empty(); ++i) {
    mean += static_cast<double>(job.gram[static_cast<size_t>(i * job.depth + i)]);
  }
  mean /= static_cast<double>(job.depth);
  double sum = 0;
  for (int64_t r = 0; r < job.rows; ++r) {
    const float* row = e.data() + r * job.depth;
    for (int64_t i = 0; i < job.depth; ++i) {
      for (int64_t j = 0; j < job.depth; ++j) {
        double g = i == j ? 1 : 0;
        if (!job.gram.empty()) {
          g *= job.damping * (mean > 0 ? mean : 1);
          g += static_cast<double>(job.gram[static_cast<size_t>(i * job.depth + j)]);
        }
        sum += g * static_cast<double>(row[i]) * static_cast<double>(row[j]);
      }
    }
  }
  return sum;
}

struct Shape {
  int64_t rows, depth;
};
constexpr Shape kShapes[] = {{1, 1}, {1, 7}, {7, 1}, {3, 7}, {7, 3}, {13, 13}, {31, 17}, {17, 31}};

TEST(TruncatedSvd, WhatIsLostIsTheEnergyOfTheComponentsThatWentAtAnyShape) {
  for (const auto& [rows, depth] : kShapes) {
    for (const bool calibrated : {false, true}) {
      const auto weights = random_matrix(rows, depth, 1);
      const auto gram = gram_of_inputs(depth, 3 * depth, 2);
      WeightsAndInputs job = {.weights = weights, .rows = rows, .depth = depth, .gram = {}};
      if (calibrated) job.gram = gram;
      const auto svd = TruncatedSvd::decompose(job, kernels()).value();
      ASSERT_EQ(svd.energies().size(), static_cast<size_t>(std::min(rows, depth)));
      const double whole = energy(job, weights);
      for (int64_t rank = 1; rank <= std::min(rows, depth); ++rank) {
        const double lost =
            std::accumulate(svd.energies().begin() + rank, svd.energies().end(), 0.0);
        EXPECT_NEAR(energy(job, rest(job, svd.factors(rank))), lost, 1e-5 * whole)
            << rows << "x" << depth << " rank " << rank << (calibrated ? ", calibrated" : "");
      }
      const auto alone = TruncatedSvd::measure_energies(job, kernels()).value();
      for (size_t i = 0; i < alone.size(); ++i) {
        EXPECT_NEAR(alone[i], svd.energies()[i], 1e-9 * whole);
      }
    }
  }
}

TEST(TruncatedSvd, AtFullRankTheProductIsTheMatrix) {
  for (const auto& [rows, depth] : kShapes) {
    const auto weights = random_matrix(rows, depth, 3);
    for (const int64_t inputs : {int64_t{1}, depth / 2 + 1, 4 * depth}) {  // fewer than directions
      const auto gram = gram_of_inputs(depth, inputs, 4);
      const WeightsAndInputs job = {
          .weights = weights, .rows = rows, .depth = depth, .gram = gram, .damping = 1e-3};
      const auto svd = TruncatedSvd::decompose(job, kernels()).value();
      for (const float left : rest(job, svd.factors(std::min(rows, depth)))) {
        EXPECT_NEAR(left, 0, 2e-4) << rows << "x" << depth << ", " << inputs << " inputs";
      }
    }
  }
}

TEST(TruncatedSvd, OnTheInputsItBeatsTheSvdOfTheWeights) {
  const auto weights = random_matrix(24, 16, 5);
  const auto gram = gram_of_inputs(16, 200, 6);
  const WeightsAndInputs whitened = {.weights = weights, .rows = 24, .depth = 16, .gram = gram};
  WeightsAndInputs plain = whitened;
  plain.gram = {};
  const auto by_inputs = TruncatedSvd::decompose(whitened, kernels()).value().factors(4);
  const auto by_weights = TruncatedSvd::decompose(plain, kernels()).value().factors(4);
  EXPECT_LT(energy(whitened, rest(whitened, by_inputs)),
            0.7 * energy(whitened, rest(whitened, by_weights)));
  EXPECT_GT(energy(plain, rest(plain, by_inputs)), energy(plain, rest(plain, by_weights)));
}

TEST(TruncatedSvd, FactorsAreEquallyLong) {
  const auto weights = random_matrix(11, 5, 7);
  const auto gram = gram_of_inputs(5, 40, 8);
  const auto factors =
      TruncatedSvd::decompose({.weights = weights, .rows = 11, .depth = 5, .gram = gram}, kernels())
          .value()
          .factors(3);
  for (size_t k = 0; k < 3; ++k) {
    double a = 0, b = 0;
    for (size_t c = 0; c < 5; ++c) a += std::pow(factors.a[k * 5 + c], 2);
    for (size_t r = 0; r < 11; ++r) b += std::pow(factors.b[r * 3 + k], 2);
    EXPECT_NEAR(a / b, 1, 1e-4);
  }
}

// Coarser than any format, so that what rounding costs shows.
void round_to_eighths(std::vector<float>& values) {
  for (float& value : values) value = std::round(value * 8) / 8;
}

TEST(FitB, MakesUpForARoundedA) {
  for (const auto& [rows, depth] : {Shape{24, 16}, Shape{16, 24}}) {
    for (const bool calibrated : {false, true}) {
      const auto weights = random_matrix(rows, depth, 11);
      const auto gram = gram_of_inputs(depth, 200, 12);
      WeightsAndInputs job = {.weights = weights, .rows = rows, .depth = depth, .gram = {}};
      if (calibrated) job.gram = gram;
      LowRankFactors factors = TruncatedSvd::decompose(job, kernels()).value().factors(8);
      const double exact = energy(job, rest(job, factors));
      round_to_eighths(factors.a);
      const double rounded = energy(job, rest(job, factors));
      factors.b = fit_b(job, factors.a, kernels()).value();
      const double fitted = energy(job, rest(job, factors));
      EXPECT_LT(fitted, rounded);
      EXPECT_GE(fitted, exact * (1 - 1e-6));
      // No other b is nearer: the slope along any change of it is zero.
      for (float& value : factors.b) value *= 1.01f;
      EXPECT_GT(energy(job, rest(job, factors)), fitted);
    }
  }
}

TEST(FitB, IsTheBOfTheDecompositionWhereAIs) {
  const auto weights = random_matrix(13, 9, 13);
  const auto gram = gram_of_inputs(9, 80, 14);
  const WeightsAndInputs job = {.weights = weights, .rows = 13, .depth = 9, .gram = gram};
  const LowRankFactors factors = TruncatedSvd::decompose(job, kernels()).value().factors(4);
  const std::vector<float> b = fit_b(job, factors.a, kernels()).value();
  ASSERT_EQ(b.size(), factors.b.size());
  for (size_t i = 0; i < b.size(); ++i) EXPECT_NEAR(b[i], factors.b[i], 1e-4);
}

TEST(FitB, OfComponentsThatAreZeroIsZero) {
  const auto weights = random_matrix(5, 4, 15);
  const WeightsAndInputs job = {.weights = weights, .rows = 5, .depth = 4, .gram = {}};
  std::vector<float> a(2 * 4, 0.0f);
  std::vector<float> b = fit_b(job, a, kernels()).value();
  for (const float value : b) EXPECT_EQ(value, 0);
  a[1] = 1;
  b = fit_b(job, a, kernels()).value();
  for (size_t r = 0; r < 5; ++r) {
    EXPECT_NEAR(b[2 * r], weights[4 * r + 1], 1e-5);
    EXPECT_EQ(b[2 * r + 1], 0);
  }
}

TEST(TruncatedSvd, ZerosGiveZeros) {
  std::vector<float> weights(6 * 4, 0.0f);
  const std::vector<float> no_inputs(4 * 4, 0.0f);
  for (const std::span<const float> gram : {std::span<const float>(), std::span(no_inputs)}) {
    const auto svd = TruncatedSvd::decompose(
                         {.weights = weights, .rows = 6, .depth = 4, .gram = gram}, kernels())
                         .value();
    for (const double energy : svd.energies()) EXPECT_EQ(energy, 0);
    for (const float value : svd.factors(4).a) EXPECT_TRUE(std::isfinite(value));
    for (const float value : svd.factors(4).b) EXPECT_TRUE(std::isfinite(value));
  }
  // One row that is not zero: a single component holds it.
  for (size_t c = 0; c < 4; ++c) weights[2 * 4 + c] = static_cast<float>(c) - 1.5f;
  const WeightsAndInputs job = {.weights = weights, .rows = 6, .depth = 4, .gram = no_inputs};
  const auto svd = TruncatedSvd::decompose(job, kernels()).value();
  for (const float left : rest(job, svd.factors(1))) EXPECT_NEAR(left, 0, 1e-6);
}

TEST(TruncatedSvd, InputsThatAreNotFiniteAreRefused) {
  for (const int64_t rows : {int64_t{3}, int64_t{9}}) {
    const auto some = random_matrix(rows, 3, 10);
    std::vector<float> gram(9, 1.0f);
    gram[4] = std::numeric_limits<float>::infinity();
    EXPECT_EQ(TruncatedSvd::decompose({.weights = some, .rows = rows, .depth = 3, .gram = gram},
                                      kernels())
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace brisk
