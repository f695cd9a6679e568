#include "engine/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/status.h"

namespace brisk {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

// Adding and scaling must not make an infinity out of a large logit.
float finite_or_impossible(double logit) {
  constexpr double kMax = std::numeric_limits<float>::max();
  if (std::isinf(logit) && logit < 0) return kImpossible;
  return static_cast<float>(std::clamp(logit, -kMax, kMax));
}

double penalized(double logit, const SamplingParams& params, int32_t output_count) {
  logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
  return logit - params.frequency_penalty * output_count -
         (output_count > 0 ? params.presence_penalty : 0);
}

bool penalizes(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.frequency_penalty != 0 ||
         params.presence_penalty != 0;
}

void allow_only(std::span<const int32_t> tokens, std::span<const float> given,
                std::vector<float>* adjusted) {
  adjusted->assign(given.size(), kImpossible);
  for (const int32_t token : tokens) {
    BRISK_CHECK(token >= 0 && static_cast<size_t>(token) < given.size());
    (*adjusted)[static_cast<size_t>(token)] = given[static_cast<size_t>(token)];
  }
}

// Whole words of the mask are most often all or nothing.
void allow_only(std::span<const uint64_t> mask, std::vector<float>* adjusted) {
  constexpr size_t kBits = 64;
  for (size_t begin = 0; begin < adjusted->size(); begin += kBits) {
    const uint64_t word = begin / kBits < mask.size() ? mask[begin / kBits] : 0;
    if (word == ~uint64_t{0}) continue;
    const std::span<float> logits =
        std::span(*adjusted).subspan(begin, std::min(kBits, adjusted->size() - begin));
    if (word == 0) {
      std::ranges::fill(logits, kImpossible);
      continue;
    }
    for (size_t bit = 0; bit < logits.size(); ++bit) {
      if (((word >> bit) & 1) == 0) logits[bit] = kImpossible;
    }
  }
}

bool is_at_its_end(std::span<const int32_t> bad_word, const SamplingHistory* history) {
  const auto before = bad_word.first(bad_word.size() - 1);
  return before.empty() || (history != nullptr && history->ends_with(before));
}

// The logits after bans, biases and penalties: the given ones if there are none.
std::span<const float> adjust(const SampleInput& input, std::vector<float>* adjusted) {
  const SamplingParams& params = *input.params;
  const bool has_penalties = input.history != nullptr && penalizes(params);
  const bool allows_all = params.allowed_tokens.empty();
  if (allows_all && input.allowed.empty() && params.bad_words.empty() && input.banned.empty() &&
      params.logit_bias.empty() && !has_penalties) {
    return input.logits;
  }

  if (allows_all) adjusted->assign(input.logits.begin(), input.logits.end());
  if (!allows_all) allow_only(params.allowed_tokens, input.logits, adjusted);
  if (!input.allowed.empty()) allow_only(input.allowed, adjusted);
  const auto logit_of = [&](int32_t token) -> float& {
    BRISK_CHECK(token >= 0 && static_cast<size_t>(token) < adjusted->size());
    return (*adjusted)[static_cast<size_t>(token)];
  };
  for (const std::vector<int32_t>& word : params.bad_words) {
    if (is_at_its_end(word, input.history)) logit_of(word.back()) = kImpossible;
  }
  for (const int32_t token : input.banned) logit_of(token) = kImpossible;
  for (const auto& [token, bias] : params.logit_bias) {
    float& logit = logit_of(token);
    logit = finite_or_impossible(static_cast<double>(logit) + static_cast<double>(bias));
  }
  if (!has_penalties) return *adjusted;
  for (const auto& [token, output_count] : input.history->entries()) {
    float& logit = logit_of(token);
    logit = finite_or_impossible(penalized(static_cast<double>(logit), params, output_count));
  }
  return *adjusted;
}

int32_t draw(const SampleInput& input, const ScannedLogits& row, SamplerScratch* scratch) {
  const SamplingParams& params = *input.params;
  if (params.temperature == 0) return most_probable(row);
  TokenWeights weights(*scratch->kernels, row, params.temperature, &scratch->weights);
  if (params.top_k > 0) weights.keep_heaviest(params.top_k);
  if (params.top_p < 1) weights.keep_mass(params.top_p);
  if (params.min_p > 0) weights.keep_above(params.min_p);
  if (params.typical_p < 1) weights.keep_typical(params.typical_p);
  return weights.draw(uniform(input.key, static_cast<uint64_t>(input.position)));
}

double normalizer_of(const ScannedLogits& row, const SamplerScratch& scratch) {
  return static_cast<double>(row.highest) + log_total(*scratch.kernels, row);
}

// The `count` most probable tokens, most probable first, lower ids first among equal ones.
std::span<const TokenLogprob> find_top(const ScannedLogits& row, int count, double normalizer,
                                       SamplerScratch* scratch) {
  auto& top = scratch->top;
  top.clear();
  const size_t wanted = std::min(static_cast<size_t>(count), row.logits.size());
  if (wanted == 0) return top;
  top.reserve(wanted + 1);
  for (const int32_t token : heaviest(*scratch->kernels, row, wanted, &scratch->weights)) {
    const float logit = row.logits[static_cast<size_t>(token)];
    if (top.size() == wanted && !(logit > top.back().logprob)) continue;
    const auto place =
        std::ranges::upper_bound(top, logit, std::ranges::greater{}, &TokenLogprob::logprob);
    top.insert(place, {.token = token, .logprob = logit});
    if (top.size() > wanted) top.pop_back();
  }
  for (auto& [token, logprob] : top) {
    logprob = static_cast<float>(static_cast<double>(logprob) - normalizer);
  }
  return top;
}

}  // namespace

void SamplingHistory::add_prompt(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) entry_of(token);
}

void SamplingHistory::add_output(int32_t token) {
  ++entry_of(token).output_count;
  std::copy(last_.begin() + 1, last_.end(), last_.begin());
  last_.back() = token;
  last_count_ = std::min(last_count_ + 1, static_cast<int>(last_.size()));
}

bool SamplingHistory::ends_with(std::span<const int32_t> tokens) const {
  const std::span<const int32_t> known = std::span(last_).last(static_cast<size_t>(last_count_));
  return tokens.size() <= known.size() && std::ranges::equal(tokens, known.last(tokens.size()));
}

SamplingHistory::Entry& SamplingHistory::entry_of(int32_t token) {
  const auto [place, is_new] = index_.try_emplace(token, entries_.size());
  if (is_new) entries_.push_back({.token = token});
  return entries_[place->second];
}

bool uses_history(const SamplingParams& params) {
  return penalizes(params) || !params.bad_words.empty();
}

void SamplerScratch::reserve(size_t vocabulary) {
  const size_t blocks = vocabulary / kLogitBlock + 1;
  maxima.reserve(blocks);
  logits.reserve(vocabulary);
  adjusted_maxima.reserve(blocks);
  weights.reserve(vocabulary);
  top.reserve(kLogprobsMax + 1);  // and the token itself
}

absl::StatusOr<SampledToken> sample(const SampleInput& input, SamplerScratch* scratch) {
  const SamplingParams& params = *input.params;
  const ScannedLogits given = scan(*scratch->kernels, input.logits, &scratch->maxima);
  if (given.is_broken) {
    return absl::InternalError("the model computed a logit that is not a number");
  }
  const std::span<const float> logits = adjust(input, &scratch->logits);
  const bool is_adjusted = logits.data() != input.logits.data();
  const ScannedLogits row =
      is_adjusted ? scan(*scratch->kernels, logits, &scratch->adjusted_maxima) : given;
  if (row.highest == kImpossible) {
    return invalid_input("every token is impossible: banned tokens and logit_bias exclude all");
  }

  SampledToken sampled;
  sampled.token = draw(input, row, scratch);
  if (params.logprobs < 0) return sampled;
  const double normalizer = normalizer_of(given, *scratch);
  const float logit = input.logits[static_cast<size_t>(sampled.token)];
  sampled.logprob = static_cast<float>(static_cast<double>(logit) - normalizer);
  sampled.top = find_top(given, params.logprobs, normalizer, scratch);
  return sampled;
}

absl::StatusOr<ScoredToken> score(const ScoreInput& input, SamplerScratch* scratch) {
  const ScannedLogits row = scan(*scratch->kernels, input.logits, &scratch->maxima);
  if (row.is_broken || row.highest == kImpossible) {
    return absl::InternalError("the model computed a logit that is not a number");
  }
  const double normalizer = normalizer_of(row, *scratch);
  ScoredToken scored;
  scored.top = find_top(row, input.top, normalizer, scratch);
  if (input.token < 0) return scored;
  const float logit = input.logits[static_cast<size_t>(input.token)];
  scored.logprob = static_cast<float>(static_cast<double>(logit) - normalizer);
  const auto heavier = std::ranges::count_if(
      at_least(*scratch->kernels, row, logit, &scratch->weights), [&](int32_t other) {
        return other < input.token || row.logits[static_cast<size_t>(other)] > logit;
      });
  scored.rank = static_cast<int32_t>(heavier) + 1;
  return scored;
}

}  // namespace brisk
