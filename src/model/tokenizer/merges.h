// Byte-pair merging: neighbours become one symbol, the best-ranked pair first, until none is left.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace brisk {

// A piece of a word. `id` is a token, or a number that the owner of the table gave to something
// that is not one.
struct Symbol {
  int32_t id;
  uint32_t size;  // bytes of the word
};

// Which pairs merge, into what, in which order. Immutable once filled; any thread may read it.
class MergeTable {
 public:
  static constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();

  struct Merge {
    uint32_t rank = kNever;  // lower goes first; equal ranks go from left to right
    int32_t result = -1;
  };

  void reserve(size_t pairs) { merges_.reserve(pairs); }

  // A pair keeps its first merge.
  void add(int32_t left, int32_t right, Merge merge) {
    merges_.try_emplace(key(left, right), merge);
  }

  Merge find(int32_t left, int32_t right) const {
    const auto it = merges_.find(key(left, right));
    return it == merges_.end() ? Merge{} : it->second;
  }

  size_t size() const { return merges_.size(); }

 private:
  static uint64_t key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  absl::flat_hash_map<uint64_t, Merge> merges_;
};

// Merges one word after another, reusing its memory. One thread.
class Merger {
 public:
  explicit Merger(const MergeTable& table) : table_(table) {}

  // Merges `symbols` in place. Takes n log n steps for n symbols.
  // REQUIRES: symbols->size() < 2^31.
  void merge(std::vector<Symbol>* symbols);

  // Called with (left, right, result) for every pair that could merge; for vocabularies that must
  // take some merges apart again.
  using Watcher = void (*)(void* context, int32_t left, int32_t right, int32_t result);
  void watch(Watcher watcher, void* context) {
    watcher_ = watcher;
    watcher_context_ = context;
  }

  // Steps taken by all calls so far: what tests hold against the size of the text.
  uint64_t steps() const { return steps_; }

 private:
  struct Link {
    uint32_t previous;
    uint32_t next;
    MergeTable::Merge with_next;  // what this symbol and its right neighbour would become
  };

  MergeTable::Merge look_up(int32_t left, int32_t right);
  void merge_short(std::vector<Symbol>* symbols);
  void merge_long(std::vector<Symbol>* symbols);
  void consider(const std::vector<Symbol>& symbols, uint32_t left);
  void push(uint32_t left);

  const MergeTable& table_;
  Watcher watcher_ = nullptr;
  void* watcher_context_ = nullptr;
  uint64_t steps_ = 0;
  std::vector<MergeTable::Merge> pairs_;  // merge_short
  std::vector<Link> links_;               // merge_long
  std::vector<uint64_t> heap_;            // merge_long; rank << 32 | position, smallest on top
};

}  // namespace brisk
