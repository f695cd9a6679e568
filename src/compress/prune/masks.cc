#include "compress/prune/masks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace brisk {
namespace {

// Zeroes `count` of the weights, those with the lowest scores.
void drop_lowest(std::span<const float> scores, std::span<float> weights, int64_t count) {
  if (count <= 0) return;
  thread_local std::vector<int32_t> order;
  order.resize(weights.size());
  std::iota(order.begin(), order.end(), 0);
  const auto goes_first = [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x != y ? x < y : a > b;
  };
  std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), goes_first);
  for (int64_t i = 0; i < count; ++i)
    weights[static_cast<size_t>(order[static_cast<size_t>(i)])] = 0;
}

uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(std::abs(value)); }

}  // namespace

void prune_row(const SparsityPattern& pattern, std::span<const float> scores,
               std::span<float> weights) {
  if (!pattern.has_groups()) {
    const double share = pattern.sparsity * static_cast<double>(weights.size());
    return drop_lowest(scores, weights, std::llround(share));
  }
  const auto group = static_cast<size_t>(pattern.group);
  for (size_t at = 0; at < weights.size(); at += group) {
    const size_t size = std::min(group, weights.size() - at);
    const size_t keep = (size * static_cast<size_t>(pattern.keep) + group - 1) / group;
    drop_lowest(scores.subspan(at, size), weights.subspan(at, size),
                static_cast<int64_t>(size - keep));
  }
}

void ExactQuantile::add(std::span<const float> values) {
  for (const float value : values) {
    const uint32_t bits = bits_of(value);
    if (!refining_) {
      ++counts_[bits >> 16];
    } else if (bits >> 16 == high_) {
      ++counts_[bits & 0xFFFF];
    }
  }
}

void ExactQuantile::refine(double share) {
  const int64_t total = std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
  to_go_ = std::llround(share * static_cast<double>(total));
  high_ = 0;
  while (high_ < 0xFFFF && counts_[high_] <= to_go_) to_go_ -= counts_[high_++];
  refining_ = true;
  std::fill(counts_.begin(), counts_.end(), 0);
}

float ExactQuantile::threshold() const {
  int64_t left = to_go_;
  uint32_t low = 0;
  while (low < 0xFFFF && counts_[low] <= left) left -= counts_[low++];
  return std::bit_cast<float>(high_ << 16 | low);
}

int64_t ExactQuantile::equal_that_go() const {
  int64_t left = to_go_;
  uint32_t low = 0;
  while (low < 0xFFFF && counts_[low] <= left) left -= counts_[low++];
  return left;
}

}  // namespace brisk
