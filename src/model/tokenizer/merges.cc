#include "model/tokenizer/merges.h"

#include <algorithm>
#include <functional>

namespace brisk {
namespace {

// Up to here a scan over all pairs beats a heap.
constexpr size_t kShortWordSymbols = 32;

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

}  // namespace

void Merger::merge(std::vector<Symbol>* symbols) {
  if (symbols->size() < 2) return;
  if (symbols->size() <= kShortWordSymbols) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
}

MergeTable::Merge Merger::look_up(int32_t left, int32_t right) {
  ++steps_;
  const MergeTable::Merge merge = table_.find(left, right);
  if (watcher_ != nullptr && merge.rank != MergeTable::kNever) {
    watcher_(watcher_context_, left, right, merge.result);
  }
  return merge;
}

void Merger::merge_short(std::vector<Symbol>* symbols) {
  std::vector<Symbol>& s = *symbols;
  pairs_.resize(s.size() - 1);
  for (size_t i = 0; i + 1 < s.size(); ++i) pairs_[i] = look_up(s[i].id, s[i + 1].id);
  while (!pairs_.empty()) {
    const auto best = std::min_element(
        pairs_.begin(), pairs_.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
    steps_ += pairs_.size();
    if (best->rank == MergeTable::kNever) return;
    const auto at = static_cast<size_t>(best - pairs_.begin());
    s[at].id = best->result;
    s[at].size += s[at + 1].size;
    s.erase(s.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    pairs_.erase(best);
    if (at > 0) pairs_[at - 1] = look_up(s[at - 1].id, s[at].id);
    if (at + 1 < s.size()) pairs_[at] = look_up(s[at].id, s[at + 1].id);
  }
}

// Removed symbols keep their place with size 0. A heap entry is stale when its symbol is gone or
// its pair has another rank by now; stale entries are dropped when they come up.
void Merger::merge_long(std::vector<Symbol>* symbols) {
  std::vector<Symbol>& s = *symbols;
  const auto count = static_cast<uint32_t>(s.size());
  links_.resize(count);
  heap_.clear();
  for (uint32_t i = 0; i < count; ++i) {
    links_[i] = {i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1, {}};
    if (i + 1 == count) break;
    links_[i].with_next = look_up(s[i].id, s[i + 1].id);
    if (links_[i].with_next.rank != MergeTable::kNever) push(i);
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const uint64_t top = heap_.back();
    heap_.pop_back();
    ++steps_;
    const auto left = static_cast<uint32_t>(top);
    Link& link = links_[left];
    if (s[left].size == 0 || link.with_next.rank != top >> 32) continue;
    const uint32_t right = link.next;
    s[left].id = link.with_next.result;
    s[left].size += s[right].size;
    s[right].size = 0;
    link.next = links_[right].next;
    if (link.next != kNone) links_[link.next].previous = left;
    if (link.previous != kNone) consider(s, link.previous);
    consider(s, left);
  }
  std::erase_if(s, [](const Symbol& symbol) { return symbol.size == 0; });
}

// Looks at the pair that begins at `left` after one of its symbols has changed.
void Merger::consider(const std::vector<Symbol>& symbols, uint32_t left) {
  Link& link = links_[left];
  link.with_next = {};
  if (link.next == kNone) return;
  link.with_next = look_up(symbols[left].id, symbols[link.next].id);
  if (link.with_next.rank == MergeTable::kNever) return;
  push(left);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void Merger::push(uint32_t left) {
  heap_.push_back(uint64_t{links_[left].with_next.rank} << 32 | left);
}

}  // namespace brisk
