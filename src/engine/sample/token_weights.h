// Unnormalised probabilities of a vocabulary: from logits, cut to the likely ones, drawn from.
// Every loop has one fixed order, so equal inputs give equal bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace brisk {

// What one pass over logits finds. Logits of impossible tokens are -infinity.
struct LogitRange {
  float highest = 0;       // -infinity: every token is impossible
  float lowest = 0;        // of the possible ones
  bool is_broken = false;  // some logit is NaN or +infinity; the rest is then meaningless
};
LogitRange range_of(std::span<const float> logits);

// The lowest id among those with the highest logit. REQUIRES: not empty, not broken.
int32_t most_probable(std::span<const float> logits);

// weights[i] = e^((logits[i] - highest) * scale), relative error below 2^-21; exactly 1 for the
// highest, 0 where the exponent is below -87. REQUIRES: scale >= 0 and finite.
void exp_of_differences(std::span<const float> logits, float highest, float scale,
                        std::span<float> weights);

// log(sum of e^(logit - highest)): minus this, the logit minus the highest is a log-probability.
double log_total(std::span<const float> logits, float highest);

struct WeightScratch {
  std::vector<float> weights;       // (vocabulary)
  std::vector<double> sums;         // of blocks of weights, or by level of logit
  std::vector<int64_t> counts;      // by level of logit
  std::vector<int32_t> candidates;  // token ids
};

// The weights of one draw. Token a is heavier than b when its logit is higher or, equal, its id
// lower. Views `logits` and uses `scratch` for as long as it lives.
class TokenWeights {
 public:
  // REQUIRES: temperature > 0; `range` is that of `logits`, has a possible token and is not broken.
  TokenWeights(std::span<const float> logits, const LogitRange& range, double temperature,
               WeightScratch* scratch);

  void keep_heaviest(int64_t count);  // top-k. REQUIRES: count > 0
  void keep_mass(double fraction);    // top-p: the fewest heaviest tokens. REQUIRES: fraction > 0
  void keep_above(double minimum);    // min-p, of the heaviest. REQUIRES: 0 <= minimum <= 1

  // Locally typical sampling: of the tokens left, those nearest to their mean exponent, which is to
  // say with -ln(probability) nearest to the entropy, as few as reach `fraction` of the mass.
  // REQUIRES: fraction > 0
  void keep_typical(double fraction);

  // The first token at which the running sum exceeds `u` of the total. REQUIRES: 0 <= u < 1
  int32_t draw(double u) const;

  std::span<const float> values() const { return weights_; }

 private:
  // A level is a small interval of logits; level 0 has the highest.
  size_t level_of(float logit) const;
  void collect_level(size_t level);  // into candidates, in order of ids
  float exponent_of(int32_t token) const;
  void cut_below(int32_t token);     // drops every token that is lighter
  bool is_heavier(int32_t a, int32_t b) const;

  const std::span<const float> logits_;
  const float highest_;
  const float levels_per_unit_;
  const float scale_;  // 1 / temperature
  WeightScratch& scratch_;
  std::span<float> weights_;
};

}  // namespace brisk
