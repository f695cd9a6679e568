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

// The logits after bans, biases and penalties: the given ones if there are none.
std::span<const float> adjust(const SampleInput& input, std::vector<float>* adjusted) {
  const SamplingParams& params = *input.params;
  const bool penalizes = input.history != nullptr && uses_history(params);
  if (input.banned.empty() && params.logit_bias.empty() && !penalizes) return input.logits;

  adjusted->assign(input.logits.begin(), input.logits.end());
  const auto logit_of = [&](int32_t token) -> float& {
    BRISK_CHECK(token >= 0 && static_cast<size_t>(token) < adjusted->size());
    return (*adjusted)[static_cast<size_t>(token)];
  };
  for (const int32_t token : input.banned) logit_of(token) = kImpossible;
  for (const auto& [token, bias] : params.logit_bias) {
    float& logit = logit_of(token);
    logit = finite_or_impossible(static_cast<double>(logit) + static_cast<double>(bias));
  }
  if (!penalizes) return *adjusted;
  for (const auto& [token, output_count] : input.history->entries()) {
    float& logit = logit_of(token);
    logit = finite_or_impossible(penalized(static_cast<double>(logit), params, output_count));
  }
  return *adjusted;
}

int32_t draw(const SampleInput& input, std::span<const float> logits, const LogitRange& range,
             WeightScratch* scratch) {
  const SamplingParams& params = *input.params;
  if (params.temperature == 0) return most_probable(logits);
  TokenWeights weights(logits, range, params.temperature, scratch);
  if (params.top_k > 0) weights.keep_heaviest(params.top_k);
  if (params.top_p < 1) weights.keep_mass(params.top_p);
  if (params.min_p > 0) weights.keep_above(params.min_p);
  return weights.draw(uniform(input.key, static_cast<uint64_t>(input.position)));
}

// The `count` most probable tokens, most probable first, lower ids first among equal ones.
void find_top(std::span<const float> logits, size_t count, double normalizer,
              std::vector<TokenLogprob>* top) {
  top->clear();
  count = std::min(count, logits.size());
  if (count == 0) return;
  top->reserve(count + 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (top->size() == count && !(logits[i] > top->back().logprob)) continue;
    const auto place =
        std::ranges::upper_bound(*top, logits[i], std::ranges::greater{}, &TokenLogprob::logprob);
    top->insert(place, {.token = static_cast<int32_t>(i), .logprob = logits[i]});
    if (top->size() > count) top->pop_back();
  }
  for (auto& [token, logprob] : *top) {
    logprob = static_cast<float>(static_cast<double>(logprob) - normalizer);
  }
}

}  // namespace

void SamplingHistory::add_prompt(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) entry_of(token);
}

void SamplingHistory::add_output(int32_t token) { ++entry_of(token).output_count; }

SamplingHistory::Entry& SamplingHistory::entry_of(int32_t token) {
  const auto [place, is_new] = index_.try_emplace(token, entries_.size());
  if (is_new) entries_.push_back({.token = token});
  return entries_[place->second];
}

bool uses_history(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.frequency_penalty != 0 ||
         params.presence_penalty != 0;
}

absl::StatusOr<SampledToken> sample(const SampleInput& input, SamplerScratch* scratch) {
  const SamplingParams& params = *input.params;
  const LogitRange given = range_of(input.logits);
  if (given.is_broken) {
    return absl::InternalError("the model computed a logit that is not a number");
  }
  const std::span<const float> logits = adjust(input, &scratch->logits);
  const bool is_adjusted = logits.data() != input.logits.data();
  const LogitRange range = is_adjusted ? range_of(logits) : given;
  if (range.highest == kImpossible) {
    return invalid_input("every token is impossible: banned tokens and logit_bias exclude all");
  }

  SampledToken sampled;
  sampled.token = draw(input, logits, range, &scratch->weights);
  if (params.logprobs < 0) return sampled;
  const double normalizer =
      static_cast<double>(given.highest) + log_total(input.logits, given.highest);
  const float logit = input.logits[static_cast<size_t>(sampled.token)];
  sampled.logprob = static_cast<float>(static_cast<double>(logit) - normalizer);
  find_top(input.logits, static_cast<size_t>(params.logprobs), normalizer, &scratch->top);
  sampled.top = scratch->top;
  return sampled;
}

}  // namespace brisk
