// One row of logits in, one token out. A pure function: what a choice draws depends on its logits,
// its parameters, its own tokens so far, its key and the position, on nothing else.
//
// The steps, in this order, over a vocabulary of ids 0, 1, ...
//  0. Log-probabilities to report are log softmax of the logits as given, before any step below.
//  1. Banned tokens get -infinity: those that are not among allowed_tokens where there are any,
//     those outside the mask `allowed` where there is one, the last of a bad word whose other
//     tokens end the output, and `banned`. Then each logit_bias is
//     added to its token.
//  2. Repetition penalty r, for tokens of the prompt or the output: logit > 0 ? logit / r : logit *
//  r
//     (Keskar et al., CTRL). Then logit -= frequency_penalty * count + presence_penalty * (count >
//     0), with the count in the output.
//  3. Temperature 0: the highest logit wins, the lowest id among equal ones. Otherwise weights are
//     exp((logit - highest) / temperature).
//  4. top-k keeps the k heaviest tokens; top-p the fewest heaviest ones of those whose weights
//  reach
//     the fraction top_p of theirs; min-p drops tokens lighter than min_p times the heaviest.
//     Among equal logits lower ids count as heavier, so exactly k tokens remain. Last, typical-p
//     keeps of the tokens left, whose entropy is H, the fewest with -ln(probability) nearest to H
//     whose weights reach the fraction typical_p of theirs; among equally near ones lower ids go
//     first.
//  5. With u = uniform(key, position), the first token in the order of ids is drawn at which the
//     running sum of the kept weights exceeds u times their total.
// Weights are f32, sums f64 in a fixed order: see token_weights.h.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "engine/request.h"
#include "engine/sample/token_weights.h"

namespace brisk {

// The distinct tokens of one choice so far, for penalties, and the last ones of its output, for bad
// words. Copy it where choices fork.
class SamplingHistory {
 public:
  struct Entry {
    int32_t token = 0;
    int32_t output_count = 0;  // 0: only in the prompt
  };
  void add_prompt(std::span<const int32_t> tokens);
  void add_output(int32_t token);
  std::span<const Entry> entries() const { return entries_; }
  // The output ends with `tokens`. REQUIRES: fewer than kBadWordTokensMax.
  bool ends_with(std::span<const int32_t> tokens) const;

 private:
  Entry& entry_of(int32_t token);

  std::array<int32_t, kBadWordTokensMax - 1> last_{};  // of the output, the newest at the end
  int last_count_ = 0;
  std::vector<Entry> entries_;
  absl::flat_hash_map<int32_t, size_t> index_;  // token -> its entry
};

// Whether `params` look at the history at all; otherwise sample() may do without.
bool uses_history(const SamplingParams& params);

struct SampleInput {
  std::span<const float> logits;             // (vocabulary)
  const SamplingParams* params = nullptr;    // REQUIRES: validate(Request) accepts them
  const SamplingHistory* history = nullptr;  // null: empty
  std::span<const int32_t> banned{};         // e.g. end tokens before min_tokens
  // A bit for each token, the lowest ids in the lowest bits of the first word. Empty: all.
  std::span<const uint64_t> allowed{};
  RngKey key{};          // {seed, choice}
  int64_t position = 0;  // of the token to draw in its sequence
};

// Memory that calls reuse; one a thread. Nothing allocates once it has seen a vocabulary.
struct SamplerScratch {
  const KernelTable* kernels = &kKernelsScalar;  // all give the same tokens
  std::vector<float> maxima;                     // of the logits as given, by block
  std::vector<float> logits;                     // (vocabulary), after bias and penalties
  std::vector<float> adjusted_maxima;            // of those
  WeightScratch weights;
  std::vector<TokenLogprob> top;

  void reserve(size_t vocabulary);  // so that nothing is allocated later
};

struct SampledToken {
  int32_t token = -1;
  float logprob = 0;                  // 0 unless params->logprobs >= 0
  std::span<const TokenLogprob> top;  // params->logprobs of them, in the scratch
};

// Errors: Internal when a logit is NaN or +infinity (the model's arithmetic failed),
// InvalidArgument when every token is impossible (bans and biases exclude all).
absl::StatusOr<SampledToken> sample(const SampleInput& input, SamplerScratch* scratch);

struct ScoreInput {
  std::span<const float> logits;  // (vocabulary)
  int32_t token = -1;             // REQUIRES: of the vocabulary; -1: none, only the top is wanted
  int top = 0;
};

struct ScoredToken {
  float logprob = 0;
  int32_t rank = 0;                   // 1: no token is heavier
  std::span<const TokenLogprob> top;  // ScoreInput::top of them, in the scratch
};

// What a token of a prompt is to the model. Errors: Internal when a logit is NaN or +infinity, or
// all are -infinity.
absl::StatusOr<ScoredToken> score(const ScoreInput& input, SamplerScratch* scratch);

}  // namespace brisk
