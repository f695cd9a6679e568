// Which block holds the KV of which tokens: full blocks by (parent block, tokens, scope).
//
// A block's hash chains its parent's, so it stands for the whole prefix; but a hash only finds
// candidates: an entry is a hit when its scope, its parent and its tokens are equal, one by one.
// The parent is known by its block, which is unambiguous because a parent leaves after its children
// (REQUIRES of `erase`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/kv/block_table.h"

namespace brisk {

// Prompts share blocks only within one scope.
struct PrefixScope {
  uint64_t salt = 0;    // cache_salt: keeps tenants apart
  int32_t adapter = 0;  // the same tokens have other keys and values under another adapter
  bool operator==(const PrefixScope&) const = default;
};

// The hash of a block from its parent's and its own tokens. Quality affects only speed.
using BlockHash = uint64_t (*)(uint64_t parent, std::span<const int32_t> tokens);
uint64_t hash_block(uint64_t parent, std::span<const int32_t> tokens);  // XXH3

// One thread. Nothing allocates after construction.
class PrefixIndex {
 public:
  struct Options {
    int32_t blocks = 0;
    int32_t block_tokens = 16;
    uint64_t hash_seed = 0;  // a random one keeps strangers from aiming at one bucket
    BlockHash hash = &hash_block;
  };
  explicit PrefixIndex(const Options& options);

  struct Key {
    BlockId parent = kNoBlock;  // kNoBlock: the first block of a sequence
    PrefixScope scope{};
    std::span<const int32_t> tokens{};  // (block_tokens)
  };

  // The block that holds `key`, or kNoBlock. REQUIRES: key.parent is kNoBlock or in the index.
  BlockId find(const Key& key) const;

  // Enters `block` under `key`; if another block holds `key` already, names that one and changes
  // nothing. REQUIRES: as `find`; block is not in the index.
  BlockId insert(BlockId block, const Key& key);

  // REQUIRES: block is in the index and the parent of none.
  void erase(BlockId block);

  bool contains(BlockId block) const { return entry(block).present; }

 private:
  struct Entry {
    uint64_t hash = 0;
    PrefixScope scope{};
    BlockId parent;
    BlockId next;  // in the same bucket
    int32_t children = 0;
    bool present = false;
  };
  Entry& entry(BlockId block) { return entries_[static_cast<size_t>(block.value)]; }
  const Entry& entry(BlockId block) const { return entries_[static_cast<size_t>(block.value)]; }
  size_t bucket_of(uint64_t hash) const { return hash & (buckets_.size() - 1); }
  ptrdiff_t first_token(BlockId block) const {
    return static_cast<ptrdiff_t>(block.value) * static_cast<ptrdiff_t>(block_tokens_);
  }
  uint64_t hash_of(const Key& key) const;
  BlockId find_hashed(uint64_t hash, const Key& key) const;
  bool holds(BlockId block, uint64_t hash, const Key& key) const;

  const size_t block_tokens_;
  const uint64_t hash_seed_;
  const BlockHash hash_;
  std::vector<BlockId> buckets_;  // (a power of two)
  std::vector<Entry> entries_;    // (blocks)
  std::vector<int32_t> tokens_;   // (blocks, block_tokens)
};

}  // namespace brisk
