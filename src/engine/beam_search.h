// Beam search: the likeliest answers as a whole, found by following the `width` likeliest
// beginnings side by side. Nothing is drawn: what comes out is a function of the model.
//
// A step looks at what may follow every beam, from the highest sum of log-probabilities down, until
// `width` of them go on; end tokens met on the way make finished answers, of which the `width` with
// the highest scores are kept. A score is sum / tokens^length_penalty, over the generated tokens
// and with the end token among them. Among equal sums lower beams, then lower token ids go first.
// The search is over when tokens_max are generated, or when no beam can reach the worst of `width`
// finished answers any more.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace brisk {

struct BeamSearchOptions {
  int width = 1;
  double length_penalty = 1;
  int tokens_min = 0;  // end tokens are impossible before
  int64_t tokens_max = 0;
  std::vector<int32_t> end_tokens{};
  int logprobs = -1;  // of the likeliest tokens, kept with every token of an answer
};

struct BeamAnswer {
  struct Token {
    int32_t token = -1;
    float logprob = 0;
    std::vector<TokenLogprob> top{};
  };
  std::vector<Token> tokens;
  double score = 0;
  bool has_ended = false;  // with an end token; otherwise it ran out of tokens
};

// One thread. Memory: (tokens_max * width) tokens.
class BeamSearch {
 public:
  explicit BeamSearch(BeamSearchOptions options);  // REQUIRES: width and tokens_max are positive

  // The likeliest tokens that `advance` needs to see of each beam.
  int candidates() const { return candidates_; }

  // Goes one token on. `likeliest`: (width), each the most probable tokens after a beam,
  // descending, `candidates()` of them or the whole vocabulary. In the first step all beams are the
  // same. REQUIRES: not done.
  void advance(std::span<const std::span<const TokenLogprob>> likeliest);

  // Of the last `advance`, for each beam: which beam it continues now, and with which token.
  // parents()[i] == i in the first step.
  std::span<const int32_t> parents() const { return parents_; }
  std::span<const int32_t> tokens() const { return tokens_; }

  bool done() const { return done_; }

  // `width` of them at most, the best first. REQUIRES: done.
  std::vector<BeamAnswer> answers() const;

 private:
  // A token of a beginning; those that go on from one share it.
  struct Node {
    int32_t before = -1;  // of nodes_; -1: the first
    BeamAnswer::Token token;
  };
  struct Beam {
    int32_t node = -1;
    double sum = 0;
    bool lives = true;  // false: the vocabulary had too few tokens for it
  };
  struct Continuation {
    int32_t beam = 0;
    int32_t rank = 0;  // among the beam's likeliest
    int32_t token = -1;
    double sum = 0;
  };
  struct Finished {
    int32_t node = -1;
    double score = 0;
    bool has_ended = false;
  };

  void rank_continuations(std::span<const std::span<const TokenLogprob>> likeliest);
  int32_t add_node(const Continuation& from, std::span<const TokenLogprob> likeliest);
  void finish(const Finished& answer);
  bool is_end(int32_t token) const;
  bool can_improve() const;
  double score(double sum, int64_t tokens) const;

  const BeamSearchOptions options_;
  const int candidates_;
  std::vector<Node> nodes_;
  std::vector<Beam> beams_;
  std::vector<Finished> finished_;  // best first
  std::vector<Continuation> continuations_;
  std::vector<int32_t> parents_;
  std::vector<int32_t> tokens_;
  int64_t generated_ = 0;
  bool done_ = false;
};

}  // namespace brisk
