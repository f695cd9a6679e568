// Reference counts of the KV pool's blocks. A block is free, used (referenced by block tables) or
// cached (unreferenced, its contents kept for prefix hits until the room is needed).
//
// Invariant: free_blocks() + used_blocks() + cached_blocks() == blocks().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/kv/block_table.h"

namespace brisk {

// One thread. Nothing allocates after construction.
class BlockPool {
 public:
  explicit BlockPool(int32_t blocks);  // REQUIRES: blocks > 0

  // A free block, now used with one reference. REQUIRES: free_blocks() > 0.
  BlockId allocate();

  // One more reference. REQUIRES: used or cached.
  void ref(BlockId block);

  // One reference less; without any left the block becomes cached (`keep`) or free.
  // REQUIRES: used.
  void unref(BlockId block, bool keep);

  // Makes the block free that was cached longest, and names it. REQUIRES: cached_blocks() > 0.
  BlockId evict();

  int32_t refs(BlockId block) const { return refs_[static_cast<size_t>(block.value)]; }
  int32_t blocks() const { return static_cast<int32_t>(refs_.size()); }
  int32_t free_blocks() const { return static_cast<int32_t>(free_.size()); }
  int32_t used_blocks() const { return blocks() - free_blocks() - cached_blocks_; }
  int32_t cached_blocks() const { return cached_blocks_; }

 private:
  // The cached blocks form a ring through `links_`, oldest first; its last element is the anchor.
  struct Link {
    int32_t previous = -1;  // -1: not cached
    int32_t next = -1;
  };
  Link& link(int32_t index) { return links_[static_cast<size_t>(index)]; }
  void append_cached(int32_t index);
  void remove_cached(int32_t index);

  std::vector<int32_t> refs_;
  std::vector<int32_t> free_;  // a stack: what was freed last is still warm
  std::vector<Link> links_;    // (blocks + 1)
  int32_t cached_blocks_ = 0;
};

}  // namespace brisk
