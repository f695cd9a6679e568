// Hopcroft's algorithm for automata whose states need not have an edge for every symbol: states are
// split by whether they have an edge with some symbol into some block, until no block splits any.
#include <algorithm>
#include <utility>
#include <vector>

#include "engine/grammar/finite_automaton.h"

namespace brisk {
namespace {

// Disjoint sets of 0..count-1, each a range of one permutation.
class Partition {
 public:
  explicit Partition(size_t count) : elements_(count), place_(count), block_of_(count, 0) {
    for (size_t i = 0; i < count; ++i) elements_[i] = place_[i] = i;
    blocks_.push_back({.begin = 0, .end = count, .marked = 0});
  }

  size_t size() const { return blocks_.size(); }
  size_t block_of(size_t element) const { return block_of_[element]; }
  size_t size_of(size_t block) const { return blocks_[block].end - blocks_[block].begin; }
  std::vector<size_t> members(size_t block) const {
    return {elements_.data() + blocks_[block].begin, elements_.data() + blocks_[block].end};
  }

  // To be split off its block by the next split(). REQUIRES: not marked yet.
  void mark(size_t element) {
    const size_t block = block_of_[element];
    if (blocks_[block].marked == 0) touched_.push_back(block);
    const size_t to = blocks_[block].begin + blocks_[block].marked++;
    const size_t from = place_[element];
    std::swap(elements_[from], elements_[to]);
    place_[elements_[from]] = from;
    place_[element] = to;
  }

  // Calls split(old block, new block) for each block of which some members were marked.
  template <class OnSplit>
  void split(OnSplit on_split) {
    for (const size_t block : touched_) {
      const size_t marked = std::exchange(blocks_[block].marked, 0);
      if (marked == size_of(block)) continue;
      const size_t begin = blocks_[block].begin;
      blocks_.push_back({.begin = begin, .end = begin + marked, .marked = 0});
      blocks_[block].begin += marked;
      for (size_t i = begin; i < begin + marked; ++i) block_of_[elements_[i]] = blocks_.size() - 1;
      on_split(block, blocks_.size() - 1);
    }
    touched_.clear();
  }

 private:
  struct Block {
    size_t begin = 0;
    size_t end = 0;
    size_t marked = 0;  // the first so many of its range
  };
  std::vector<size_t> elements_;
  std::vector<size_t> place_;  // of an element in elements_
  std::vector<size_t> block_of_;
  std::vector<Block> blocks_;
  std::vector<size_t> touched_;
};

struct Incoming {
  int32_t symbol = 0;
  size_t from = 0;
};

Dfa quotient(const Dfa& dfa, const Partition& partition) {
  std::vector<int32_t> renamed(partition.size(), -1);
  std::vector<size_t> order{0};  // a state of each block, the start first
  renamed[partition.block_of(0)] = 0;
  Dfa result;
  for (size_t i = 0; i < order.size(); ++i) {
    Dfa::State state = dfa.states[order[i]];
    for (Dfa::Edge& edge : state.edges) {
      int32_t& name = renamed[partition.block_of(static_cast<size_t>(edge.to))];
      if (name < 0) {
        name = static_cast<int32_t>(order.size());
        order.push_back(static_cast<size_t>(edge.to));
      }
      edge.to = name;
    }
    result.states.push_back(std::move(state));
  }
  return result;
}

}  // namespace

Dfa minimize(const Dfa& dfa, WorkBudget* budget) {
  const size_t count = dfa.states.size();
  if (count <= 1 || budget->is_spent()) return dfa;
  std::vector<std::vector<Incoming>> incoming(count);
  Partition partition(count);
  for (size_t i = 0; i < count; ++i) {
    for (const Dfa::Edge& edge : dfa.states[i].edges) {
      incoming[static_cast<size_t>(edge.to)].push_back({.symbol = edge.symbol, .from = i});
    }
    if (dfa.states[i].is_accepting) partition.mark(i);
  }
  std::vector<size_t> todo{0};
  std::vector<bool> waits{true};
  const auto on_split = [&](size_t old_block, size_t new_block) {
    waits.resize(partition.size(), false);
    // Of a block that was dealt with, one half says what the other would say.
    const bool takes_old =
        !waits[old_block] && partition.size_of(old_block) < partition.size_of(new_block);
    const size_t added = takes_old ? old_block : new_block;
    waits[added] = true;
    todo.push_back(added);
  };
  partition.split(on_split);

  std::vector<Incoming> edges;
  while (!todo.empty()) {
    const size_t splitter = todo.back();
    todo.pop_back();
    waits[splitter] = false;
    edges.clear();
    for (const size_t member : partition.members(splitter)) {
      edges.insert(edges.end(), incoming[member].begin(), incoming[member].end());
    }
    if (!budget->spend(edges.size() + partition.size_of(splitter))) return dfa;
    std::ranges::sort(edges, {}, &Incoming::symbol);
    for (size_t i = 0; i < edges.size(); ++i) {
      partition.mark(edges[i].from);
      if (i + 1 == edges.size() || edges[i + 1].symbol != edges[i].symbol) {
        partition.split(on_split);
      }
    }
  }
  return quotient(dfa, partition);
}

}  // namespace brisk
