// The KV pool as the scheduler sees it: tables that grow, share, fork and let go. Bookkeeping only;
// the keys and values themselves belong to the runner.
//
// Every full block of a table is published, in order, under its predecessor; a table whose new
// block turns out to exist already takes the existing one (its bits are the same: DESIGN 3). So
// whoever refers to a block refers to all its predecessors, and a parent is never evicted first.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/kv/block_pool.h"
#include "engine/kv/block_table.h"
#include "engine/kv/prefix_index.h"

namespace brisk {

struct BlockCacheOptions {
  int32_t blocks = 0;
  int32_t block_tokens = 16;
  bool prefix_cache = true;
  uint64_t hash_seed = 0;
  BlockHash hash = &hash_block;
};

// Contents of `from` that must be in `to` before a step writes.
struct BlockCopy {
  BlockId from;
  BlockId to;
};

// One thread.
class BlockCache {
 public:
  explicit BlockCache(const BlockCacheOptions& options);

  // The longest published prefix of `tokens`, whole blocks, without referring to it: into `hits`.
  void find_prefix(std::span<const int32_t> tokens, const PrefixScope& scope,
                   std::vector<BlockId>* hits) const;

  // Refers to `hits`, fresh from find_prefix. REQUIRES: the table is empty.
  void adopt(std::span<const BlockId> hits, BlockTable* table);

  // Allocates until the table covers `tokens` positions, evicting as needed.
  // REQUIRES: available_blocks() suffices.
  void extend(BlockTable* table, int64_t tokens);

  // Replaces the last block by a copy of its own when other tables share it.
  // REQUIRES: available_blocks() > 0 if so.
  std::optional<BlockCopy> own_tail(BlockTable* table);

  // Enters the blocks that `tokens` fill and that are not yet in the index. REQUIRES: the KV of all
  // of `tokens`, the sequence's first ones, is computed. True when a block became free by it.
  bool publish(std::span<const int32_t> tokens, const PrefixScope& scope, BlockTable* table);

  // Shares all blocks of a table. REQUIRES: `to` is empty.
  void fork(const BlockTable& from, BlockTable* to);

  // Lets go of all blocks, last first, so that the ends of prefixes are evicted before their heads.
  void release(BlockTable* table);

  bool tail_is_shared(const BlockTable& table) const {
    return !table.blocks.empty() && pool_.refs(table.blocks.back()) > 1;
  }
  int64_t blocks_for(int64_t tokens) const {
    return (tokens + options_.block_tokens - 1) / options_.block_tokens;
  }
  int32_t available_blocks() const { return pool_.free_blocks() + pool_.cached_blocks(); }
  const BlockPool& pool() const { return pool_; }

  // Compares every count with a recount over `tables`, which are all there are. For tests.
  absl::Status audit(std::span<const BlockTable* const> tables) const;

 private:
  BlockId allocate();
  void unref(BlockId block) { pool_.unref(block, index_.contains(block)); }

  const BlockCacheOptions options_;
  BlockPool pool_;
  PrefixIndex index_;
};

}  // namespace brisk
