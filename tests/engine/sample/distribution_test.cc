// What is drawn, over vocabularies of real size: against the definition, sorted in f64, and against
// the probabilities.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "compute/kernels/cpu/dispatch.h"
#include "engine/sample/sampler.h"

namespace brisk {
namespace {

constexpr size_t kVocab = 40'001;

// Shapes that take each of the ways to find a cut.
std::vector<float> row_of(uint64_t seed, int shape) {
  Rng rng(seed);
  std::vector<float> logits(kVocab);
  const double spreads[] = {0.01, 1, 2.5, 1, 2};
  for (float& logit : logits) logit = static_cast<float>(spreads[shape] * rng.next_gaussian());
  if (shape == 3) {  // most of the mass on few tokens
    for (int i = 0; i < 300; ++i) logits[rng.next_below(kVocab)] += static_cast<float>(i) / 20;
  }
  if (shape == 4) {  // ties, in order of ids as in vocabularies sorted by frequency
    for (size_t i = 0; i < kVocab; ++i) {
      logits[i] = std::round(logits[i]) - static_cast<float>(i / 5000);
    }
  }
  return logits;
}

// The tokens that top-k, then top-p keep.
std::vector<bool> kept(const std::vector<float>& logits, const SamplingParams& params,
                       double top_p) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit_of = [&](int32_t token) { return logits[static_cast<size_t>(token)]; };
  std::ranges::stable_sort(order, std::ranges::greater{}, logit_of);
  if (params.top_k > 0) order.resize(static_cast<size_t>(params.top_k));
  double total = 0;
  const auto weight_of = [&](int32_t token) {
    return std::exp(static_cast<double>(logit_of(token) - logit_of(order[0])) / params.temperature);
  };
  for (const int32_t token : order) total += weight_of(token);
  std::vector<bool> keeps(logits.size(), false);
  double mass = 0;
  for (const int32_t token : order) {
    if (mass >= top_p * total) break;
    keeps[static_cast<size_t>(token)] = true;
    mass += weight_of(token);
  }
  return keeps;
}

TEST(Distribution, CutsLargeVocabulariesWhereTheDefinitionDoes) {
  SamplerScratch scratch;
  scratch.kernels = usable_kernels().front();
  for (int shape = 0; shape < 5; ++shape) {
    const std::vector<float> logits = row_of(9, shape);
    for (const double temperature : {0.3, 1.0, 5.0}) {
      for (const int top_k : {0, 3, 700, 30'000}) {
        for (const double top_p : {0.999, 0.95, 0.5, 0.05}) {
          const SamplingParams params = {
              .temperature = temperature, .top_k = top_k, .top_p = top_p};
          const auto more = kept(logits, params, top_p + 1e-5);
          int outside = 0;
          for (int64_t i = 0; i < 15; ++i) {
            const auto drawn = sample(
                {.logits = logits, .params = &params, .key = {.seed = 1}, .position = i}, &scratch);
            outside += more[static_cast<size_t>(drawn->token)] ? 0 : 1;
          }
          EXPECT_EQ(outside, 0) << shape << " " << temperature << " " << top_k << " " << top_p;
        }
      }
    }
  }
}

TEST(Distribution, IsTheSameOnEveryInstructionSet) {
  for (int shape = 0; shape < 5; ++shape) {
    const std::vector<float> logits = row_of(10, shape);
    for (const SamplingParams& params :
         {SamplingParams{}, SamplingParams{.top_p = 0.9}, SamplingParams{.top_k = 40, .top_p = 0.9},
          SamplingParams{.min_p = 0.02}, SamplingParams{.typical_p = 0.8, .logprobs = 3}}) {
      for (int64_t i = 0; i < 4; ++i) {
        std::vector<int32_t> tokens;
        for (const KernelTable* table : usable_kernels()) {
          SamplerScratch scratch;
          scratch.kernels = table;
          tokens.push_back(
              sample({.logits = logits, .params = &params, .key = {.seed = 2}, .position = i},
                     &scratch)
                  ->token);
          EXPECT_EQ(tokens.back(), tokens.front()) << table->name << " " << shape;
        }
      }
    }
  }
}

// Buckets of equal probability, of the tokens in order of their ids.
void expect_fair(const std::vector<float>& logits, const SamplingParams& params) {
  const auto keeps = kept(logits, params, params.top_p);
  std::vector<double> probability(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (keeps[i]) probability[i] = std::exp(static_cast<double>(logits[i]) / params.temperature);
  }
  const double total = std::accumulate(probability.begin(), probability.end(), 0.0);
  constexpr int kBuckets = 16, kDraws = 4000;
  std::vector<size_t> bucket(logits.size());
  std::vector<double> expected(kBuckets), count(kBuckets);
  double before = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    bucket[i] = std::min<size_t>(static_cast<size_t>(before / total * kBuckets), kBuckets - 1);
    expected[bucket[i]] += probability[i] / total * kDraws;
    before += probability[i];
  }
  SamplerScratch scratch;
  scratch.kernels = usable_kernels().front();
  for (int64_t i = 0; i < kDraws; ++i) {
    const auto drawn =
        sample({.logits = logits, .params = &params, .key = {.seed = 77}, .position = i}, &scratch);
    ASSERT_TRUE(keeps[static_cast<size_t>(drawn->token)]);
    ++count[bucket[static_cast<size_t>(drawn->token)]];
  }
  double chi_squared = 0;
  for (size_t b = 0; b < kBuckets; ++b) {
    if (expected[b] == 0) continue;
    chi_squared += (count[b] - expected[b]) * (count[b] - expected[b]) / expected[b];
  }
  EXPECT_LT(chi_squared, 37.7);  // 15 degrees of freedom, p = 0.001
}

TEST(Distribution, IsFairAfterEveryCut) {
  const std::vector<float> logits = row_of(12, 1);
  expect_fair(logits, {});
  expect_fair(logits, {.temperature = 0.5, .top_p = 0.9});
  expect_fair(logits, {.top_k = 1000});
  expect_fair(logits, {.temperature = 2, .top_k = 5000, .top_p = 0.8});
}

}  // namespace
}  // namespace brisk
