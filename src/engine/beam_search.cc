#include "engine/beam_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace brisk {
namespace {

// However many end tokens lead, `width` others are seen.
int candidates_for(const BeamSearchOptions& options) {
  return std::max(options.width + static_cast<int>(options.end_tokens.size()), options.logprobs);
}

}  // namespace

BeamSearch::BeamSearch(BeamSearchOptions options)
    : options_(std::move(options)),
      candidates_(candidates_for(options_)),
      beams_(static_cast<size_t>(options_.width)),
      parents_(static_cast<size_t>(options_.width)),
      tokens_(static_cast<size_t>(options_.width)) {
  BRISK_CHECK(options_.width > 0);
  BRISK_CHECK(options_.tokens_max > 0);
}

void BeamSearch::advance(std::span<const std::span<const TokenLogprob>> likeliest) {
  BRISK_CHECK(!done_);
  BRISK_CHECK(std::ssize(likeliest) == options_.width);
  rank_continuations(likeliest);
  const bool is_first = generated_ == 0;
  ++generated_;

  std::vector<Beam> next;
  for (const Continuation& continuation : continuations_) {
    if (std::ssize(next) == options_.width) break;
    const bool ends = is_end(continuation.token);
    if (ends && generated_ <= options_.tokens_min) continue;
    const auto beam = static_cast<size_t>(continuation.beam);
    const int32_t node = add_node(continuation, likeliest[beam]);
    if (ends) {
      finish({.node = node, .score = score(continuation.sum, generated_), .has_ended = true});
      continue;
    }
    parents_[next.size()] = is_first ? static_cast<int32_t>(next.size()) : continuation.beam;
    tokens_[next.size()] = continuation.token;
    next.push_back({.node = node, .sum = continuation.sum});
  }
  // Beams for which there was nothing left stand still and are never looked at.
  for (size_t i = next.size(); i < beams_.size(); ++i) {
    parents_[i] = static_cast<int32_t>(i);
    tokens_[i] = 0;
  }
  next.resize(beams_.size(), {.lives = false});
  beams_ = std::move(next);

  if (generated_ == options_.tokens_max) {
    for (const Beam& beam : beams_) {
      if (beam.lives) finish({.node = beam.node, .score = score(beam.sum, generated_)});
    }
    done_ = true;
  }
  done_ = done_ || !can_improve();
}

// All beams begin at the same place: in the first step one speaks for them.
void BeamSearch::rank_continuations(std::span<const std::span<const TokenLogprob>> likeliest) {
  continuations_.clear();
  const size_t beams = generated_ == 0 ? 1 : beams_.size();
  for (size_t beam = 0; beam < beams; ++beam) {
    if (!beams_[beam].lives) continue;
    for (size_t rank = 0; rank < likeliest[beam].size(); ++rank) {
      const TokenLogprob& one = likeliest[beam][rank];
      if (!std::isfinite(one.logprob)) continue;
      continuations_.push_back({.beam = static_cast<int32_t>(beam),
                                .rank = static_cast<int32_t>(rank),
                                .token = one.token,
                                .sum = beams_[beam].sum + static_cast<double>(one.logprob)});
    }
  }
  std::ranges::sort(continuations_, [](const Continuation& a, const Continuation& b) {
    if (a.sum != b.sum) return a.sum > b.sum;
    return std::pair(a.beam, a.token) < std::pair(b.beam, b.token);
  });
}

int32_t BeamSearch::add_node(const Continuation& from, std::span<const TokenLogprob> likeliest) {
  const TokenLogprob& own = likeliest[static_cast<size_t>(from.rank)];
  Node node = {.before = beams_[static_cast<size_t>(from.beam)].node,
               .token = {.token = own.token, .logprob = own.logprob}};
  const size_t top =
      std::min(likeliest.size(), static_cast<size_t>(std::max(options_.logprobs, 0)));
  node.token.top.assign(likeliest.begin(), likeliest.begin() + static_cast<ptrdiff_t>(top));
  nodes_.push_back(std::move(node));
  return static_cast<int32_t>(nodes_.size()) - 1;
}

// Among equal scores the one that was finished first stays before.
void BeamSearch::finish(const Finished& answer) {
  const auto place =
      std::ranges::upper_bound(finished_, answer.score, std::ranges::greater{}, &Finished::score);
  finished_.insert(place, answer);
  if (std::ssize(finished_) > options_.width) finished_.pop_back();
}

bool BeamSearch::is_end(int32_t token) const {
  return std::ranges::find(options_.end_tokens, token) != options_.end_tokens.end();
}

// Sums only fall, and the length that suits one best is the least or the most there can be.
bool BeamSearch::can_improve() const {
  if (std::ranges::none_of(beams_, &Beam::lives)) return false;
  if (std::ssize(finished_) < options_.width) return true;
  return std::ranges::any_of(beams_, [this](const Beam& beam) {
    const double best =
        std::max(score(beam.sum, generated_ + 1), score(beam.sum, options_.tokens_max));
    return beam.lives && best > finished_.back().score;
  });
}

double BeamSearch::score(double sum, int64_t tokens) const {
  return sum / std::pow(static_cast<double>(tokens), options_.length_penalty);
}

std::vector<BeamAnswer> BeamSearch::answers() const {
  BRISK_CHECK(done_);
  std::vector<BeamAnswer> answers;
  for (const Finished& finished : finished_) {
    BeamAnswer& answer = answers.emplace_back();
    answer.score = finished.score;
    answer.has_ended = finished.has_ended;
    for (int32_t node = finished.node; node >= 0;) {
      const Node& one = nodes_[static_cast<size_t>(node)];
      answer.tokens.push_back(one.token);
      node = one.before;
    }
    std::ranges::reverse(answer.tokens);
  }
  return answers;
}

}  // namespace brisk
