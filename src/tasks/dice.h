// Random choices of one sample, from the counter-based generator.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace brisk::tasks {

class Dice {
 public:
  Dice(uint64_t seed, uint64_t stream) : rng_(seed, stream) {}

  // Both ends included. REQUIRES: low <= high.
  int between(int low, int high) {
    return low + static_cast<int>(rng_.next_below(static_cast<uint64_t>(high - low) + 1));
  }
  size_t below(size_t limit) { return static_cast<size_t>(rng_.next_below(limit)); }
  bool percent(int chance) { return between(0, 99) < chance; }

  template <class T>
  const T& pick(std::span<const T> from) {
    return from[below(from.size())];
  }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  // 0 to count - 1, in random order.
  std::vector<size_t> order(size_t count) {
    std::vector<size_t> indices(count);
    std::iota(indices.begin(), indices.end(), size_t{0});
    shuffle(indices);
    return indices;
  }

  // `count` different ones, in random order. REQUIRES: count <= from.size().
  template <class T>
  std::vector<T> pick_some(std::span<const T> from, size_t count) {
    std::vector<T> items(from.begin(), from.end());
    for (size_t i = 0; i < count; ++i) std::swap(items[i], items[i + below(items.size() - i)]);
    items.resize(count);
    return items;
  }

 private:
  Rng rng_;
};

}  // namespace brisk::tasks
