#include "engine/kv/block_pool.h"

#include "base/check.h"

namespace brisk {

BlockPool::BlockPool(int32_t blocks)
    : refs_(static_cast<size_t>(blocks), 0), links_(static_cast<size_t>(blocks) + 1) {
  BRISK_CHECK(blocks > 0);
  free_.reserve(static_cast<size_t>(blocks));
  for (int32_t index = blocks - 1; index >= 0; --index) free_.push_back(index);
  link(blocks) = {.previous = blocks, .next = blocks};
}

BlockId BlockPool::allocate() {
  BRISK_CHECK(!free_.empty());
  const BlockId block{free_.back()};
  free_.pop_back();
  refs_[static_cast<size_t>(block.value)] = 1;
  return block;
}

void BlockPool::ref(BlockId block) {
  int32_t& refs = refs_[static_cast<size_t>(block.value)];
  if (refs == 0) remove_cached(block.value);
  ++refs;
}

void BlockPool::unref(BlockId block, bool keep) {
  int32_t& refs = refs_[static_cast<size_t>(block.value)];
  BRISK_CHECK(refs > 0);
  if (--refs > 0) return;
  if (keep) {
    append_cached(block.value);
  } else {
    free_.push_back(block.value);
  }
}

BlockId BlockPool::evict() {
  BRISK_CHECK(cached_blocks_ > 0);
  const BlockId oldest{link(blocks()).next};
  remove_cached(oldest.value);
  free_.push_back(oldest.value);
  return oldest;
}

void BlockPool::append_cached(int32_t index) {
  const int32_t anchor = blocks();
  const int32_t newest = link(anchor).previous;
  link(index) = {.previous = newest, .next = anchor};
  link(newest).next = index;
  link(anchor).previous = index;
  ++cached_blocks_;
}

void BlockPool::remove_cached(int32_t index) {
  const Link removed = link(index);
  BRISK_CHECK(removed.next >= 0);
  link(removed.previous).next = removed.next;
  link(removed.next).previous = removed.previous;
  link(index) = {};
  --cached_blocks_;
}

}  // namespace brisk
