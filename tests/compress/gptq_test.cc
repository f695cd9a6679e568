#include "compress/quantize/gptq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "compress/prune/sparsegpt.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

constexpr int64_t kRows = 40, kDepth = 512;

std::vector<float> gaussians(int64_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.next_gaussian());
  return values;
}

// Of inputs that go together: each is half its neighbour's.
std::vector<float> correlated_gram(int64_t depth) {
  std::vector<float> gram(static_cast<size_t>(depth * depth), 0.0f);
  constexpr int64_t kSamples = 2000;
  Rng rng(9);
  std::vector<float> x(static_cast<size_t>(depth));
  for (int64_t s = 0; s < kSamples; ++s) {
    float before = 0;
    for (float& value : x) {
      value = 0.9f * before + static_cast<float>(rng.next_gaussian());
      before = value;
    }
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t j = 0; j < x.size(); ++j) gram[i * x.size() + j] += x[i] * x[j];
    }
  }
  return gram;
}

std::vector<float> identity(int64_t depth) {
  std::vector<float> gram(static_cast<size_t>(depth * depth), 0.0f);
  for (int64_t i = 0; i < depth; ++i) gram[static_cast<size_t>(i * depth + i)] = 1;
  return gram;
}

// Squared error of the products: the trace of D H D^T.
double output_error(const std::vector<float>& weights, const std::vector<float>& rounded,
                    const std::vector<float>& gram, int64_t depth) {
  double total = 0;
  const auto n = static_cast<size_t>(depth);
  for (size_t row = 0; row < weights.size(); row += n) {
    for (size_t i = 0; i < n; ++i) {
      double sum = 0;
      for (size_t j = 0; j < n; ++j) {
        sum += static_cast<double>(gram[i * n + j]) *
               (static_cast<double>(rounded[row + j]) - static_cast<double>(weights[row + j]));
      }
      total +=
          sum * (static_cast<double>(rounded[row + i]) - static_cast<double>(weights[row + i]));
    }
  }
  return total;
}

std::vector<std::byte> run_gptq(const InverseFactor& factor, DType dtype,
                                std::vector<float> weights, int threads) {
  std::vector<std::byte> blocks(static_cast<size_t>(bytes_of(dtype, kRows * kDepth)));
  ThreadTeam team(threads);
  BlockRowGrids grids(*grid_format(dtype), kDepth, blocks.data());
  gptq(team, factor, {.weights = weights.data(), .rows = kRows, .depth = kDepth}, grids);
  return blocks;
}

std::vector<float> decoded(DType dtype, const std::vector<std::byte>& blocks) {
  std::vector<float> values(kRows * kDepth);
  format_of(dtype).decode(blocks.data(), kRows * kDepth, values.data());
  return values;
}

TEST(InverseFactor, IsTheUpperFactorOfTheInverse) {
  constexpr int64_t kSmall = 24;
  const std::vector<float> gram = correlated_gram(kSmall);
  const auto factor = InverseFactor::create(gram, kSmall, 0);
  ASSERT_TRUE(factor.ok()) << factor.status();
  // U^T U H = I.
  for (int64_t i = 0; i < kSmall; ++i) {
    for (int64_t j = 0; j < kSmall; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < kSmall; ++k) {
        double inverse = 0;
        for (int64_t m = 0; m <= std::min(i, k); ++m) {
          inverse += static_cast<double>(factor->data()[m * kSmall + i]) *
                     static_cast<double>(factor->data()[m * kSmall + k]);
        }
        sum += inverse * static_cast<double>(gram[static_cast<size_t>(k * kSmall + j)]);
      }
      EXPECT_NEAR(sum, i == j ? 1 : 0, 1e-3) << i << ", " << j;
    }
  }
}

TEST(InverseFactor, ToleratesInputsThatWereNeverSeenAndRefusesNan) {
  std::vector<float> gram = identity(32);
  gram[5 * 32 + 5] = 0;
  EXPECT_TRUE(InverseFactor::create(gram, 32, 0.01).ok());
  EXPECT_TRUE(InverseFactor::create(std::vector<float>(32 * 32, 0.0f), 32, 0).ok());
  gram[7] = NAN;
  EXPECT_EQ(InverseFactor::create(gram, 32, 0.01).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(LargestFirst, OrdersRunsAndWhatIsInThem) {
  std::vector<float> gram(10 * 10, 0.0f);
  const float squares[] = {1, 2, 3, 4, 9, 0, 0, 1, 100, 200};
  for (size_t i = 0; i < 10; ++i) gram[i * 11] = squares[i];
  EXPECT_EQ(largest_first(gram, 10, 4), (std::vector<int64_t>{3, 2, 1, 0, 4, 7, 5, 6, 9, 8}));
  EXPECT_EQ(largest_first(gram, 10, 5), (std::vector<int64_t>{9, 8, 7, 5, 6, 4, 3, 2, 1, 0}));
  EXPECT_EQ(largest_first(gram, 10, 10).front(), 9);
}

TEST(Gptq, IsASearchedRoundingWhereInputsAreIndependent) {
  const std::vector<float> weights = gaussians(kRows * kDepth, 1);
  const auto factor = InverseFactor::create(identity(kDepth), kDepth, 0);
  for (const DType dtype : {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K}) {
    std::vector<std::byte> expected(static_cast<size_t>(bytes_of(dtype, kRows * kDepth)));
    encode_searched(*grid_format(dtype), weights.data(), nullptr, kRows * kDepth, expected.data());
    EXPECT_EQ(run_gptq(*factor, dtype, weights, 1), expected);
  }
}

TEST(Gptq, MakesUpForErrorsWhereInputsGoTogether) {
  const std::vector<float> weights = gaussians(kRows * kDepth, 2);
  const std::vector<float> gram = correlated_gram(kDepth);
  const auto factor = InverseFactor::create(gram, kDepth, 0.01);
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_K, DType::kQ6_K}) {
    std::vector<std::byte> nearest(static_cast<size_t>(bytes_of(dtype, kRows * kDepth)));
    encode_searched(*grid_format(dtype), weights.data(), nullptr, kRows * kDepth, nearest.data());
    const double before = output_error(weights, decoded(dtype, nearest), gram, kDepth);
    const double after =
        output_error(weights, decoded(dtype, run_gptq(*factor, dtype, weights, 1)), gram, kDepth);
    EXPECT_LT(after, 0.6 * before) << format_of(dtype).name;
  }
}

// Inputs of different sizes, that go together and lie in any order.
std::vector<float> uneven_gram(int64_t depth) {
  std::vector<float> gram = correlated_gram(depth);
  const auto n = static_cast<size_t>(depth);
  for (size_t i = 0; i < gram.size(); ++i) {
    const auto size = [](size_t input) { return static_cast<float>(1 + input * 37 % 11); };
    gram[i] *= size(i / n) * size(i % n);
  }
  return gram;
}

TEST(Gptq, LosesLessLargestInputsFirst) {
  const std::vector<float> weights = gaussians(kRows * kDepth, 8);
  const std::vector<float> gram = uneven_gram(kDepth);
  const auto as_they_lie = InverseFactor::create(gram, kDepth, 0.01);
  for (const DType dtype : {DType::kQ4_0, DType::kQ2_K, DType::kQ4_K}) {
    const auto factor = InverseFactor::create(
        gram, kDepth, 0.01, largest_first(gram, kDepth, format_of(dtype).block_values));
    const auto loss = [&](const InverseFactor& of) {
      return output_error(weights, decoded(dtype, run_gptq(of, dtype, weights, 1)), gram, kDepth);
    };
    EXPECT_LT(loss(*factor), loss(*as_they_lie)) << format_of(dtype).name;
  }
}

TEST(Gptq, GivesTheSameBytesOnAnyNumberOfThreads) {
  const std::vector<float> weights = gaussians(kRows * kDepth, 3);
  const std::vector<float> gram = uneven_gram(kDepth);
  const auto factor = InverseFactor::create(gram, kDepth, 0.01, largest_first(gram, kDepth, 32));
  const std::vector<std::byte> alone = run_gptq(*factor, DType::kQ4_0, weights, 1);
  EXPECT_EQ(run_gptq(*factor, DType::kQ4_0, weights, 2), alone);
  EXPECT_EQ(run_gptq(*factor, DType::kQ4_0, weights, 5), alone);
}

ScaledCodes run_gptq(const InverseFactor& factor, const ScaledScheme& scheme,
                     std::vector<float> weights, int threads) {
  ScaledCodes codes = sized_codes(scheme, kRows, kDepth);
  ScaledRowGrids grids(scheme, codes);
  ThreadTeam team(threads);
  gptq(team, factor, {.weights = weights.data(), .rows = kRows, .depth = kDepth}, grids);
  return codes;
}

std::vector<float> decoded(const ScaledScheme& scheme, const ScaledCodes& codes) {
  std::vector<std::byte> memory(static_cast<size_t>(scaled_bytes(scheme, kRows, kDepth)));
  put_codes(scheme, codes, 0, kRows, memory);
  std::vector<float> values(kRows * kDepth);
  decode_values(scaled_tensor(scheme, kRows, kDepth, memory), 0, kRows * kDepth, values.data());
  return values;
}

constexpr const char* kScaledSchemes[] = {
    "int4-g32", "int4-g64", "int4-g128", "int4-g32-asym", "int4-g128-asym", "w8a8", "fp8"};

TEST(GptqOfScaledCodes, IsASearchedRoundingWhereInputsAreIndependent) {
  const std::vector<float> weights = gaussians(kRows * kDepth, 1);
  const auto factor = InverseFactor::create(identity(kDepth), kDepth, 0);
  for (const char* name : kScaledSchemes) {
    const ScaledScheme scheme = *scaled_scheme(name);
    ScaledCodes expected = sized_codes(scheme, kRows, kDepth);
    ScaledRowGrids grids(scheme, expected);
    for (int64_t r = 0; r < kRows; ++r) {
      round_searched(grids, r, std::span(weights).subspan(static_cast<size_t>(r * kDepth), kDepth),
                     nullptr);
    }
    const ScaledCodes codes = run_gptq(*factor, scheme, weights, 1);
    EXPECT_EQ(codes.codes, expected.codes) << name;
    EXPECT_EQ(codes.scales, expected.scales) << name;
    EXPECT_EQ(codes.zeros, expected.zeros) << name;
  }
}

TEST(GptqOfScaledCodes, MakesUpForErrorsAndDoesNotDependOnThreads) {
  const std::vector<float> weights = gaussians(kRows * kDepth, 2);
  const std::vector<float> gram = uneven_gram(kDepth);
  for (const char* name : kScaledSchemes) {
    const ScaledScheme scheme = *scaled_scheme(name);
    const int64_t run = scheme.group == 0 ? kDepth : scheme.group;  // of w8a8 more than a block
    const auto factor = InverseFactor::create(gram, kDepth, 0.01, largest_first(gram, kDepth, run));
    const auto nearest = round_to_nearest(scheme, weights, kDepth);
    ASSERT_TRUE(nearest.ok());
    const ScaledCodes codes = run_gptq(*factor, scheme, weights, 1);
    EXPECT_LT(output_error(weights, decoded(scheme, codes), gram, kDepth),
              0.6 * output_error(weights, decoded(scheme, *nearest), gram, kDepth))
        << name;
    const ScaledCodes again = run_gptq(*factor, scheme, weights, 3);
    EXPECT_EQ(again.codes, codes.codes) << name;
    EXPECT_EQ(again.scales, codes.scales) << name;
  }
}

TEST(SearchedScales, LoseNoMoreThanThoseThatCover) {
  std::vector<float> weights = gaussians(kRows * kDepth, 6);
  for (size_t i = 0; i < weights.size(); i += 100) weights[i] *= 5;  // worth clipping
  for (const char* name : kScaledSchemes) {
    const ScaledScheme scheme = *scaled_scheme(name);
    const auto covering = round_to_nearest(scheme, weights, kDepth);
    ScaledCodes searched = sized_codes(scheme, kRows, kDepth);
    ScaledRowGrids grids(scheme, searched);
    for (int64_t r = 0; r < kRows; ++r) {
      round_searched(grids, r, std::span(weights).subspan(static_cast<size_t>(r * kDepth), kDepth),
                     nullptr);
    }
    const auto loss = [&](const ScaledCodes& codes) {
      const std::vector<float> back = decoded(scheme, codes);
      double sum = 0;
      for (size_t i = 0; i < back.size(); ++i) {
        sum += std::pow(static_cast<double>(back[i] - weights[i]), 2);
      }
      return sum;
    };
    EXPECT_LE(loss(searched), (scheme.bits == 4 ? 0.95 : 1.001) * loss(*covering)) << name;
    for (const float scale : searched.scales) EXPECT_GT(scale, 0) << name;
  }
}

TEST(SearchedScales, OfZerosAreOneAndOfOneValueAreExactEnough) {
  for (const char* name : kScaledSchemes) {
    const ScaledScheme scheme = *scaled_scheme(name);
    for (const float value : {0.0f, 3.0f, -2.0f, 1e-30f}) {
      const std::vector<float> weights(33, value);  // a short last group
      ScaledCodes codes = sized_codes(scheme, 1, 33);
      ScaledRowGrids grids(scheme, codes);
      round_searched(grids, 0, weights, nullptr);
      std::vector<std::byte> memory(static_cast<size_t>(scaled_bytes(scheme, 1, 33)));
      put_codes(scheme, codes, 0, 1, memory);
      std::vector<float> back(33);
      decode_values(scaled_tensor(scheme, 1, 33, memory), 0, 33, back.data());
      for (const float b : back) EXPECT_NEAR(b, value, 0.01f * std::abs(value)) << name;
    }
  }
}

int64_t zeros_of(const std::vector<float>& values) {
  return std::count(values.begin(), values.end(), 0.0f);
}

TEST(SparseGpt, RemovesTheSmallestWhereInputsAreIndependent) {
  std::vector<float> weights = gaussians(kRows * 128, 4);
  const std::vector<float> before = weights;
  const auto factor = InverseFactor::create(identity(128), 128, 0);
  ThreadTeam team(2);
  sparsegpt(team, *factor, {.sparsity = 0.7}, weights.data(), kRows);
  EXPECT_EQ(zeros_of(weights), kRows * 128 * 7 / 10);
  float largest_gone = 0, smallest_kept = INFINITY;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) {
      largest_gone = std::max(largest_gone, std::abs(before[i]));
    } else {
      EXPECT_EQ(weights[i], before[i]);
      smallest_kept = std::min(smallest_kept, std::abs(before[i]));
    }
  }
  EXPECT_LT(largest_gone, smallest_kept);
}

TEST(SparseGpt, KeepsTwoOfFourEverywhereAndLosesLessThanMagnitude) {
  const std::vector<float> gram = correlated_gram(kDepth);
  const auto factor = InverseFactor::create(gram, kDepth, 0.01);
  const std::vector<float> before = gaussians(kRows * kDepth, 5);
  const SparsityPattern pattern = {.sparsity = 0.5, .keep = 2, .group = 4};
  std::vector<float> weights = before, magnitude = before;
  ThreadTeam team(1), three(3);
  sparsegpt(team, *factor, pattern, weights.data(), kRows);
  for (size_t at = 0; at < weights.size(); at += 4) {
    EXPECT_EQ(std::count(weights.begin() + static_cast<long>(at),
                         weights.begin() + static_cast<long>(at) + 4, 0.0f),
              2);
  }
  std::vector<float> scores = before;
  for (float& score : scores) score = std::abs(score);
  for (size_t at = 0; at < scores.size(); at += kDepth) {
    prune_row(pattern, std::span(scores).subspan(at, kDepth),
              std::span(magnitude).subspan(at, kDepth));
  }
  EXPECT_LT(output_error(before, weights, gram, kDepth),
            0.6 * output_error(before, magnitude, gram, kDepth));
  std::vector<float> again = before;
  sparsegpt(three, *factor, pattern, again.data(), kRows);
  EXPECT_EQ(again, weights);
}

}  // namespace
}  // namespace brisk
