// Unnormalised probabilities of a vocabulary: from logits, cut to the likely ones, drawn from.
// Every loop has one fixed order, and the passes over the whole vocabulary are kernels whose bits
// do not depend on the instruction set, so equal inputs give equal tokens.
//
// A row of logits is scanned once for the highest logit of each block of kLogitBlock. Of what comes
// after, most needs only the few blocks whose highest logit is high enough.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "compute/kernels/cpu/kernel_table.h"

namespace brisk {

// A row of logits that was scanned. Logits of impossible tokens are -infinity.
struct ScannedLogits {
  std::span<const float> logits;  // (vocabulary)
  std::span<const float> maxima;  // (blocks) the highest logit of each
  float highest = 0;              // -infinity: every token is impossible
  bool is_broken = false;         // some logit is NaN or +infinity; the rest is then meaningless
};

// `maxima` is the memory of the result's. REQUIRES: there are logits.
ScannedLogits scan(const KernelTable& kernels, std::span<const float> logits,
                   std::vector<float>* maxima);

// The lowest id among those with the highest logit. REQUIRES: not broken.
int32_t most_probable(const ScannedLogits& row);

// log(sum of e^(logit - highest)): minus this, the logit minus the highest is a log-probability.
double log_total(const KernelTable& kernels, const ScannedLogits& row);

struct WeightScratch {
  std::vector<float> weights;       // (vocabulary)
  std::vector<float> maxima;        // (blocks), in another order
  std::vector<double> sums;         // of blocks of weights, or by level
  std::vector<int32_t> candidates;  // (vocabulary + 16) token ids

  void reserve(size_t vocabulary);  // so that nothing is allocated later
};

// The ids of all tokens with this logit or a higher one, ascending, in scratch->candidates.
std::span<int32_t> at_least(const KernelTable& kernels, const ScannedLogits& row, float limit,
                            WeightScratch* scratch);

// Those of the `count` heaviest tokens, and some more. REQUIRES: count > 0
std::span<int32_t> heaviest(const KernelTable& kernels, const ScannedLogits& row, size_t count,
                            WeightScratch* scratch);

// The weights of one draw. Token a is heavier than b when its logit is higher or, equal, its id
// lower. Uses `row` and `scratch` for as long as it lives.
class TokenWeights {
 public:
  // REQUIRES: temperature > 0; `row` has a possible token and is not broken.
  TokenWeights(const KernelTable& kernels, const ScannedLogits& row, double temperature,
               WeightScratch* scratch);

  // In this order, each at most once.
  void keep_heaviest(int64_t count);  // top-k. REQUIRES: count > 0
  void keep_mass(double fraction);  // top-p: the fewest heaviest tokens. REQUIRES: 0 < fraction < 1
  void keep_above(double minimum);  // min-p, of the heaviest. REQUIRES: 0 <= minimum <= 1
  // Locally typical sampling: of the tokens left, those nearest to their mean exponent, which is to
  // say with -ln(probability) nearest to the entropy, as few as reach `fraction` of the mass.
  // REQUIRES: fraction > 0
  void keep_typical(double fraction);

  // The first token at which the running sum exceeds `u` of the total. REQUIRES: 0 <= u < 1
  int32_t draw(double u);

 private:
  // Tokens one after the other, from `start` on, are to reach `target`.
  struct Mass {
    double start = 0;
    double target = 0;
  };
  struct Interval {  // of logits
    float low = 0;
    float high = 0;
  };
  struct Guess {
    double fraction = 0;
    double error = 0;
    float floor = 0;  // the cut is not below it
  };
  // Tokens among which a cut is, and the mass of all heavier ones.
  struct Cut {
    std::span<int32_t> candidates{};
    double mass_above = 0;
  };

  float logit_of(int32_t token) const { return row_.logits[static_cast<size_t>(token)]; }
  double weight_of(int32_t token) const {
    return static_cast<double>(scratch_.weights[static_cast<size_t>(token)]);
  }
  bool is_live(size_t block) const { return row_.maxima[block] >= live_limit_; }
  float logit_below(double weight) const;

  double weigh(size_t block);
  double weigh_all();
  double kept_mass(size_t block);
  Cut find_likely(double fraction, double total);
  bool look_at_sample(float floor);
  Interval guess(const Guess& wanted) const;
  Cut find_around(const Interval& interval, double target);
  std::span<int32_t> find_possible();
  std::span<int32_t> without_weightless(std::span<int32_t> tokens) const;
  template <class Key, class Weight>
  int32_t reach(std::span<int32_t> candidates, Mass mass, Key key, Weight weight);
  void cut_below(int32_t token);

  const KernelTable& kernels_;
  const ScannedLogits row_;
  const float scale_;  // 1 / temperature
  WeightScratch& scratch_;

  // Kept are limit_token_ and the tokens heavier than it, if they are no lighter than minimum_.
  float limit_;  // the logit of limit_token_
  int32_t limit_token_ = std::numeric_limits<int32_t>::max();
  float minimum_ = 0;
  bool is_weighed_ = false;   // all live blocks are in the scratch, perhaps before the last cut
  bool is_explicit_ = false;  // kept are those whose weight in the scratch is not 0
  float live_limit_;          // blocks whose highest logit is below hold none that is kept
};

}  // namespace brisk
