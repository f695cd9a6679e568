#include "engine/sample/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace brisk {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

SamplingParams greedy() { return {.temperature = 0}; }

absl::StatusOr<SampledToken> sample_once(const std::vector<float>& logits,
                                         const SamplingParams& params, uint64_t seed = 1,
                                         int64_t position = 0) {
  static SamplerScratch scratch;
  return sample({.logits = logits,
                 .params = &params,

                 .key = {.seed = seed},
                 .position = position},
                &scratch);
}

// How often each token is drawn, of `draws`.
std::vector<double> frequencies(const std::vector<float>& logits, const SamplingParams& params,
                                int draws) {
  std::vector<double> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    counts[static_cast<size_t>(sample_once(logits, params, 5, i)->token)] += 1.0 / draws;
  }
  return counts;
}

std::vector<float> random_logits(Rng* rng, size_t vocab, double spread, bool with_ties) {
  std::vector<float> logits(vocab);
  for (float& logit : logits) {
    const double x = spread * rng->next_gaussian();
    logit = static_cast<float>(with_ties ? std::round(x) : x);
  }
  return logits;
}

// The definitions of sampler.h, word by word, in f64, by sorting everything.
struct Reference {
  std::vector<double> logits;  // after step 2
  std::vector<size_t> order;   // heaviest first
  std::vector<double> weights;

  Reference(const std::vector<float>& given, const SamplingParams& params,
            const SamplingHistory& history, std::span<const int32_t> banned)
      : logits(given.begin(), given.end()), order(given.size()), weights(given.size()) {
    if (!params.allowed_tokens.empty()) {
      for (size_t i = 0; i < logits.size(); ++i) {
        if (std::ranges::find(params.allowed_tokens, static_cast<int32_t>(i)) ==
            params.allowed_tokens.end()) {
          logits[i] = -kInf;
        }
      }
    }
    for (const std::vector<int32_t>& word : params.bad_words) {
      if (history.ends_with(std::span(word).first(word.size() - 1))) {
        logits[static_cast<size_t>(word.back())] = -kInf;
      }
    }
    for (const int32_t token : banned) logits[static_cast<size_t>(token)] = -kInf;
    for (const auto& [token, bias] : params.logit_bias) {
      logits[static_cast<size_t>(token)] += static_cast<double>(bias);
    }
    for (const auto& [token, count] : history.entries()) {
      double& x = logits[static_cast<size_t>(token)];
      x = x > 0 ? x / params.repetition_penalty : x * params.repetition_penalty;
      x -= params.frequency_penalty * count + (count > 0 ? params.presence_penalty : 0);
    }
    // What the sampler compares are floats.
    for (double& x : logits) x = static_cast<double>(static_cast<float>(x));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [this](size_t a, size_t b) { return logits[a] > logits[b]; });
  }

  int32_t argmax() const { return static_cast<int32_t>(order[0]); }

  // Keeps the fewest tokens of those left whose surprise is nearest to the entropy.
  void keep_typical(double fraction) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    double entropy = 0;
    std::vector<std::pair<float, size_t>> nearest;
    for (const double w : weights) entropy -= w > 0 ? w / total * std::log(w / total) : 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      const double distance = std::abs(-std::log(weights[i] / total) - entropy);
      // Equal logits are equally near, which f64 sums do not know to the last bit.
      if (weights[i] > 0) nearest.emplace_back(static_cast<float>(distance), i);
    }
    std::ranges::sort(nearest);
    double mass = 0;
    for (const auto& [distance, i] : nearest) {
      if (mass >= fraction * total) {
        weights[i] = 0;
      } else {
        mass += weights[i];
      }
    }
  }

  int32_t draw(const SamplingParams& params, double top_p, double u) {
    const double highest = logits[order[0]];
    for (size_t i = 0; i < logits.size(); ++i) {
      weights[i] = std::exp((logits[i] - highest) / params.temperature);
      if (weights[i] < 1.6e-38) weights[i] = 0;  // as floats from e^-87 on
    }
    size_t kept = order.size();
    if (params.top_k > 0) kept = std::min(kept, static_cast<size_t>(params.top_k));
    double total = 0;
    for (size_t i = 0; i < kept; ++i) total += weights[order[i]];
    if (top_p < 1) {
      double mass = 0;
      size_t count = 0;
      while (count < kept && mass < top_p * total) mass += weights[order[count++]];
      kept = count;
    }
    for (size_t i = 0; i < order.size(); ++i) {
      if (i >= kept || weights[order[i]] < params.min_p) weights[order[i]] = 0;
    }
    if (params.typical_p < 1) keep_typical(params.typical_p);
    const double target = u * std::accumulate(weights.begin(), weights.end(), 0.0);
    double sum = 0;
    size_t last = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] == 0) continue;
      last = i;
      sum += weights[i];
      if (sum > target) break;
    }
    return static_cast<int32_t>(last);
  }
};

SamplingParams random_params(Rng* rng, size_t vocab) {
  SamplingParams params;
  const auto one_of = [&](std::initializer_list<double> values) {
    return *(values.begin() + rng->next_below(values.size()));
  };
  params.temperature = one_of({0, 0.1, 0.7, 1, 1, 3, 50});
  params.top_k = static_cast<int>(one_of({0, 0, 1, 2, 17, static_cast<double>(vocab)}));
  params.top_p = one_of({1, 1, 0.95, 0.5, 0.01});
  params.min_p = one_of({0, 0, 0.05, 0.5});
  params.typical_p = one_of({1, 1, 1, 0.9, 0.3});
  params.repetition_penalty = one_of({1, 1, 1.3, 0.8});
  params.frequency_penalty = one_of({0, 0, 0.5, -1});
  params.presence_penalty = one_of({0, 0, 1, -2});
  for (uint64_t i = rng->next_below(3); i > 0; --i) {
    params.logit_bias.emplace_back(static_cast<int32_t>(rng->next_below(vocab)),
                                   static_cast<float>(one_of({-100, -2, 3})));
  }
  const auto any_token = [&] { return static_cast<int32_t>(rng->next_below(vocab)); };
  if (rng->next_below(4) == 0) {
    for (uint64_t i = 1 + rng->next_below(20); i > 0; --i) {
      params.allowed_tokens.push_back(any_token());
    }
  }
  for (uint64_t i = rng->next_below(3); i > 0; --i) {
    std::vector<int32_t>& word = params.bad_words.emplace_back(1 + rng->next_below(2));
    for (int32_t& token : word) token = any_token();
  }
  return params;
}

TEST(Sampler, AgreesWithTheDefinitionOnRandomInputs) {
  Rng rng(11);
  SamplerScratch scratch;
  int near_a_boundary = 0;
  constexpr int kTrials = 6000;
  for (int trial = 0; trial < kTrials; ++trial) {
    const size_t vocab = 1 + rng.next_below(trial % 10 == 0 ? 3000 : 60);
    auto logits = random_logits(&rng, vocab, 0.5 + 4 * rng.next_uniform(), trial % 3 == 0);
    for (uint64_t i = rng.next_below(4); i > 0; --i) logits[rng.next_below(vocab)] = -kInf;
    const SamplingParams params = random_params(&rng, vocab);
    SamplingHistory history;
    std::vector<int32_t> prompt(rng.next_below(20));
    for (int32_t& token : prompt) token = static_cast<int32_t>(rng.next_below(vocab));
    history.add_prompt(prompt);
    for (uint64_t i = rng.next_below(20); i > 0; --i) {
      history.add_output(static_cast<int32_t>(rng.next_below(vocab)));
    }
    std::vector<int32_t> banned;
    if (vocab > 1 && rng.next_below(3) == 0) {
      banned.push_back(static_cast<int32_t>(rng.next_below(vocab)));
    }
    const RngKey key{.seed = rng.next_u64(), .stream = 3};
    const auto sampled = sample({.logits = logits,
                                 .params = &params,
                                 .history = &history,
                                 .banned = banned,
                                 .key = key,
                                 .position = trial},
                                &scratch);
    Reference reference(logits, params, history, banned);
    const bool is_possible = reference.logits[reference.order[0]] > -static_cast<double>(kInf);
    ASSERT_EQ(sampled.ok(), is_possible) << trial;
    if (!is_possible) continue;
    if (params.temperature == 0) {
      ASSERT_EQ(sampled->token, reference.argmax()) << trial;
      continue;
    }
    const double u = uniform(key, static_cast<uint64_t>(trial));
    if (sampled->token == reference.draw(params, params.top_p, u)) continue;
    // f32 weights may decide otherwise where f64 ones are within 1e-5 of a boundary.
    ++near_a_boundary;
    bool explained = false;
    for (const double dp : {-1e-5, 0.0, 1e-5}) {
      for (const double du : {-1e-5, 0.0, 1e-5}) {
        const int32_t token = reference.draw(params, params.top_p < 1 ? params.top_p + dp : 1,
                                             std::clamp(u + du, 0.0, 1.0));
        explained |= token == sampled->token;
      }
    }
    ASSERT_TRUE(explained) << trial;
  }
  EXPECT_LT(near_a_boundary, kTrials / 200);
}

TEST(Sampler, DrawsTokensAsOftenAsTheirProbabilities) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  constexpr int kDraws = 40'000;
  const auto drawn = frequencies(logits, {}, kDraws);
  const double expected[] = {0.1, 0.4, 0.2, 0.3};
  double chi_squared = 0;
  for (size_t i = 0; i < 4; ++i) {
    chi_squared += kDraws * (drawn[i] - expected[i]) * (drawn[i] - expected[i]) / expected[i];
  }
  EXPECT_LT(chi_squared, 16.3);  // 3 degrees of freedom, p = 0.001
}

TEST(Sampler, TruncationRenormalises) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  const auto top_k = frequencies(logits, {.top_k = 2}, 20'000);
  EXPECT_EQ(top_k[0] + top_k[2], 0);
  EXPECT_NEAR(top_k[1], 4.0 / 7, 0.02);
  const auto top_p = frequencies(logits, {.top_p = 0.75}, 20'000);  // 0.4 + 0.3 is too little
  EXPECT_EQ(top_p[0], 0);
  EXPECT_NEAR(top_p[2], 2.0 / 9, 0.02);
  const auto min_p = frequencies(logits, {.min_p = 0.6}, 20'000);
  EXPECT_EQ(min_p[0] + min_p[2], 0);
  EXPECT_NEAR(min_p[3], 3.0 / 7, 0.02);
}

TEST(Sampler, LowerIdsWinTies) {
  const std::vector<float> equal(1000, 2.5f);
  EXPECT_EQ(sample_once(equal, greedy())->token, 0);
  EXPECT_EQ(sample_once({1, 3, 3, 2}, greedy())->token, 1);
  for (int64_t i = 0; i < 200; ++i) {
    EXPECT_LT(sample_once(equal, {.top_k = 3}, 1, i)->token, 3);
    EXPECT_LT(sample_once(equal, {.top_p = 0.01}, 1, i)->token, 10);
  }
}

TEST(Sampler, RepeatsItselfAndDependsOnSeedChoiceAndPosition) {
  Rng rng(3);
  const auto logits = random_logits(&rng, 5000, 1, false);
  const SamplingParams params;
  SamplerScratch scratch;
  const auto at = [&](RngKey key, int64_t position) {
    return sample({.logits = logits,
                   .params = &params,

                   .key = key,
                   .position = position},
                  &scratch)
        ->token;
  };
  EXPECT_EQ(at({1, 0}, 7), at({1, 0}, 7));
  int equal = 0;
  for (int64_t p = 0; p < 100; ++p) {
    equal += at({1, 0}, p) == at({2, 0}, p);
    equal += at({1, 0}, p) == at({1, 1}, p);
    equal += at({1, 0}, p) == at({1, 0}, p + 1000);
  }
  EXPECT_LT(equal, 10);
}

TEST(Sampler, SurvivesExtremeTemperatures) {
  const std::vector<float> logits = {-5, 10, 9.99f, -kInf, 3};
  for (const double tiny : {1e-3, 1e-30, 1e-300}) {
    EXPECT_EQ(sample_once(logits, {.temperature = tiny})->token, 1) << tiny;
  }
  for (const double huge : {1e6, 1e30, 1e300}) {
    const auto drawn = frequencies(logits, {.temperature = huge}, 8000);
    EXPECT_EQ(drawn[3], 0) << huge;
    for (const size_t i : {0, 1, 2, 4}) EXPECT_NEAR(drawn[i], 0.25, 0.03) << huge;
    const auto cut = frequencies(logits, {.temperature = huge, .top_k = 2}, 1000);
    EXPECT_EQ(cut[0] + cut[3] + cut[4], 0);
  }
}

TEST(Sampler, FindsTheOnlyPossibleToken) {
  std::vector<float> logits(700, -kInf);
  logits[431] = -1e30f;
  for (const SamplingParams& params :
       {greedy(), SamplingParams{}, SamplingParams{.top_k = 5, .top_p = 0.5, .min_p = 0.5}}) {
    for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(sample_once(logits, params, 1, i)->token, 431);
  }
}

TEST(Sampler, LargestLogitsStayFinite) {
  const float max = std::numeric_limits<float>::max();
  const SamplingParams params = {.repetition_penalty = 0.01, .logit_bias = {{0, 100.0f}}};
  SamplingHistory history;
  history.add_output(0);
  SamplerScratch scratch;
  const std::vector<float> logits = {max, -max, 0};
  const auto sampled =
      sample({.logits = logits, .params = &params, .history = &history, .key = {}}, &scratch);
  ASSERT_TRUE(sampled.ok());
  EXPECT_EQ(sampled->token, 0);
}

TEST(Sampler, RefusesLogitsThatAreNotNumbers) {
  for (const float bad : {std::nanf(""), kInf}) {
    for (const size_t place : {0, 15, 16, 36}) {
      std::vector<float> logits(37, 0.5f);
      logits[place] = bad;
      EXPECT_TRUE(absl::IsInternal(sample_once(logits, greedy()).status())) << place;
      EXPECT_TRUE(absl::IsInternal(sample_once(logits, {}).status())) << place;
    }
  }
}

TEST(Sampler, RefusesWhenEverythingIsBanned) {
  const std::vector<float> logits = {1, 2};
  const std::vector<int32_t> banned = {0, 1};
  const SamplingParams params;
  SamplerScratch scratch;
  const auto sampled =
      sample({.logits = logits, .params = &params, .banned = banned, .key = {}}, &scratch);
  EXPECT_TRUE(absl::IsInvalidArgument(sampled.status()));
}

TEST(Sampler, PenaltiesTellThePromptFromTheOutput) {
  SamplingHistory history;
  history.add_prompt(std::vector<int32_t>{0, 0, 0});
  history.add_output(1);
  history.add_output(1);
  SamplerScratch scratch;
  const auto draw = [&](const SamplingParams& params, const std::vector<float>& logits) {
    return sample({.logits = logits, .params = &params, .history = &history, .key = {}}, &scratch)
        ->token;
  };
  // Frequency and presence count the output only.
  EXPECT_EQ(draw({.temperature = 0, .frequency_penalty = 2}, {5, 5.5f, 1}), 0);
  EXPECT_EQ(draw({.temperature = 0, .frequency_penalty = 0.2}, {5, 5.5f, 1}), 1);
  EXPECT_EQ(draw({.temperature = 0, .presence_penalty = 0.6}, {5, 5.5f, 1}), 0);
  // Repetition counts both, and pushes negative logits down too.
  EXPECT_EQ(draw({.temperature = 0, .repetition_penalty = 2}, {5, 5.5f, 3}), 2);
  EXPECT_EQ(draw({.temperature = 0, .repetition_penalty = 2}, {-2, -3, -3.5f}), 2);
}

TEST(Sampler, ReportsLogprobsBeforeAnyStep) {
  Rng rng(8);
  const auto logits = random_logits(&rng, 4000, 3, true);
  double total = 0;
  for (const float x : logits) total += std::exp(static_cast<double>(x));
  SamplingParams params = {.temperature = 0.3, .top_k = 4, .logit_bias = {{9, 50.0f}}};
  params.logprobs = 20;
  const auto sampled = sample_once(logits, params);
  ASSERT_TRUE(sampled.ok());
  EXPECT_EQ(sampled->token, 9);
  EXPECT_NEAR(sampled->logprob, static_cast<double>(logits[9]) - std::log(total), 1e-5);

  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  ASSERT_EQ(sampled->top.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(sampled->top[i].token, static_cast<int32_t>(order[i])) << i;
    EXPECT_NEAR(sampled->top[i].logprob, static_cast<double>(logits[order[i]]) - std::log(total),
                1e-5);
  }
}

TEST(Sampler, TypicalTokensAreNeitherTooLikelyNorTooUnlikely) {
  // The entropy is 1.75; the surprises are 0.92 and 2.30.
  std::vector<float> logits(7, std::log(0.1f));
  logits[0] = std::log(0.4f);
  const auto drawn = frequencies(logits, {.typical_p = 0.45}, 20'000);
  EXPECT_EQ(drawn[0], 0) << "the likeliest token is not typical";
  for (size_t i = 1; i < 6; ++i) EXPECT_NEAR(drawn[i], 0.2, 0.02);
  EXPECT_EQ(drawn[6], 0);
}

TEST(Sampler, BadWordsAreBannedWhereTheyWouldEnd) {
  SamplingParams params = greedy();
  params.bad_words = {{2}, {0, 1}, {3, 3, 1}};
  SamplingHistory history;
  history.add_prompt(std::vector<int32_t>{0});
  SamplerScratch scratch;
  const std::vector<float> logits = {1, 4, 5, 2};
  const auto draw = [&] {
    return sample({.logits = logits, .params = &params, .history = &history, .key = {}}, &scratch)
        ->token;
  };
  EXPECT_EQ(draw(), 1) << "the prompt is no part of a word";
  history.add_output(0);
  EXPECT_EQ(draw(), 3);
  history.add_output(3);
  EXPECT_EQ(draw(), 1);
  history.add_output(3);
  EXPECT_EQ(draw(), 3);
}

TEST(Sampler, AllowedTokensAreTheOnlyOnes) {
  SamplingParams params = {.temperature = 2, .allowed_tokens = {3, 1, 3}};
  const auto drawn = frequencies({9, 1, 9, 1, 9}, params, 4000);
  EXPECT_NEAR(drawn[1], 0.5, 0.03);
  EXPECT_NEAR(drawn[3], 0.5, 0.03);
  params.logit_bias = {{0, 100.0f}};
  EXPECT_EQ(frequencies({9, 1, 9, 1, 9}, params, 100)[0], 0) << "a bias allows nothing";
}

TEST(SamplingHistory, RemembersAsMuchOfTheOutputAsABadWordIsLong) {
  SamplingHistory history;
  std::vector<int32_t> last;
  EXPECT_TRUE(history.ends_with({}));
  for (int32_t i = 0; i < 100; ++i) {
    history.add_output(i);
    if (i > 100 - kBadWordTokensMax) last.push_back(i);
    EXPECT_FALSE(history.ends_with(std::vector<int32_t>{i, i}));
  }
  ASSERT_EQ(last.size(), static_cast<size_t>(kBadWordTokensMax - 1));
  EXPECT_TRUE(history.ends_with(last));
  EXPECT_TRUE(history.ends_with(std::span(last).last(1)));
  EXPECT_FALSE(history.ends_with(std::span(last).first(3)));
}

TEST(Score, IsTheLogprobAndRankOfAToken) {
  const std::vector<float> logits = {0, 2, 1, 2, -kInf};
  SamplerScratch scratch;
  const int32_t ranks[] = {4, 1, 3, 2, 5};
  for (int32_t token = 0; token < 5; ++token) {
    const auto scored = score({.logits = logits, .token = token, .top = 2}, &scratch);
    ASSERT_TRUE(scored.ok());
    EXPECT_EQ(scored->rank, ranks[token]) << token;
    EXPECT_NEAR(std::exp(scored->logprob),
                std::exp(logits[static_cast<size_t>(token)]) / (1 + std::exp(1) + 2 * std::exp(2)),
                1e-6);
    ASSERT_EQ(scored->top.size(), 2u);
    EXPECT_EQ(scored->top[0].token, 1);
    EXPECT_EQ(scored->top[1].token, 3);
  }
  EXPECT_FALSE(score({.logits = std::vector<float>{0, std::nanf("")}}, &scratch).ok());
}

TEST(Sampler, LogprobsZeroReportsOnlyTheChosenToken) {
  const auto sampled = sample_once({0, 0}, {.temperature = 0, .logprobs = 0});
  EXPECT_NEAR(sampled->logprob, -std::log(2.0), 1e-6);
  EXPECT_TRUE(sampled->top.empty());
  EXPECT_EQ(sample_once({0, 0}, {.temperature = 0, .logprobs = 5})->top.size(), 2u);
}

}  // namespace
}  // namespace brisk
