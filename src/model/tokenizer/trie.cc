#include "model/tokenizer/trie.h"

#include <algorithm>

namespace brisk {
namespace {

// Entries [begin, end) share their first `depth` bytes, which lead to `node`.
struct Range {
  size_t begin;
  size_t end;
  size_t depth;
  uint32_t node;
};

}  // namespace

Trie::Trie(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& entry) { return entry.first.empty(); });
  if (entries.empty()) return;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.first < b.first; });
  nodes_.emplace_back();
  // Breadth first, so that the children of a node are added together.
  std::vector<Range> queue = {{0, entries.size(), 0, 0}};
  for (size_t at = 0; at < queue.size(); ++at) {
    Range range = queue[at];
    while (range.begin < range.end && entries[range.begin].first.size() == range.depth) {
      Node& node = nodes_[range.node];
      if (node.value < 0) node.value = entries[range.begin].second;
      ++range.begin;
    }
    nodes_[range.node].first_child = static_cast<uint32_t>(nodes_.size());
    while (range.begin < range.end) {
      const char label = entries[range.begin].first[range.depth];
      size_t end = range.begin;
      while (end < range.end && entries[end].first[range.depth] == label) ++end;
      queue.push_back({range.begin, end, range.depth + 1, static_cast<uint32_t>(nodes_.size())});
      nodes_.push_back({.label = static_cast<uint8_t>(label)});
      ++nodes_[range.node].child_count;
      range.begin = end;
    }
  }
  const Node root = nodes_[0];
  for (uint32_t i = root.first_child; i < root.first_child + root.child_count; ++i) {
    root_[nodes_[i].label] = i;
  }
}

uint32_t Trie::child(uint32_t node, uint8_t label) const {
  if (node == 0) return root_[label];
  const auto begin = nodes_.begin() + nodes_[node].first_child;
  const auto end = begin + nodes_[node].child_count;
  const auto found = std::lower_bound(
      begin, end, label, [](const Node& a, uint8_t wanted) { return a.label < wanted; });
  if (found == end || found->label != label) return 0;
  return static_cast<uint32_t>(found - nodes_.begin());
}

Trie::Match Trie::longest_prefix(std::string_view text) const {
  Match longest;
  for_each_prefix(text, [&](size_t size, int32_t value) { longest = {size, value}; });
  return longest;
}

}  // namespace brisk
