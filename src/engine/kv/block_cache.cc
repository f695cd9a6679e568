#include "engine/kv/block_cache.h"

#include "base/check.h"
#include "base/status.h"

namespace brisk {

BlockCache::BlockCache(const BlockCacheOptions& options)
    : options_(options),
      pool_(options.blocks),
      index_({.blocks = options.blocks,
              .block_tokens = options.block_tokens,
              .hash_seed = options.hash_seed,
              .hash = options.hash}) {}

void BlockCache::find_prefix(std::span<const int32_t> tokens, const PrefixScope& scope,
                             std::vector<BlockId>* hits) const {
  hits->clear();
  if (!options_.prefix_cache) return;
  const size_t block_tokens = static_cast<size_t>(options_.block_tokens);
  BlockId parent = kNoBlock;
  for (; tokens.size() >= block_tokens; tokens = tokens.subspan(block_tokens)) {
    parent = index_.find({.parent = parent, .scope = scope, .tokens = tokens.first(block_tokens)});
    if (parent == kNoBlock) return;
    hits->push_back(parent);
  }
}

void BlockCache::adopt(std::span<const BlockId> hits, BlockTable* table) {
  BRISK_CHECK(table->blocks.empty());
  for (const BlockId block : hits) pool_.ref(block);
  table->blocks.assign(hits.begin(), hits.end());
  table->published = static_cast<int32_t>(hits.size());
}

void BlockCache::extend(BlockTable* table, int64_t tokens) {
  while (static_cast<int64_t>(table->blocks.size()) < blocks_for(tokens)) {
    table->blocks.push_back(allocate());
  }
}

std::optional<BlockCopy> BlockCache::own_tail(BlockTable* table) {
  if (!tail_is_shared(*table)) return std::nullopt;
  const BlockCopy copy{.from = table->blocks.back(), .to = allocate()};
  unref(copy.from);
  table->blocks.back() = copy.to;
  return copy;
}

bool BlockCache::publish(std::span<const int32_t> tokens, const PrefixScope& scope,
                         BlockTable* table) {
  if (!options_.prefix_cache) return false;
  bool gave_back = false;
  const size_t block_tokens = static_cast<size_t>(options_.block_tokens);
  const size_t full = tokens.size() / block_tokens;
  for (size_t i = static_cast<size_t>(table->published); i < full; ++i) {
    BlockId& block = table->blocks[i];
    const BlockId known =
        index_.insert(block, {.parent = i == 0 ? kNoBlock : table->blocks[i - 1],
                              .scope = scope,
                              .tokens = tokens.subspan(i * block_tokens, block_tokens)});
    if (known != block) {
      pool_.ref(known);
      unref(block);
      block = known;
      gave_back = true;
    }
  }
  table->published = static_cast<int32_t>(full);
  return gave_back;
}

void BlockCache::fork(const BlockTable& from, BlockTable* to) {
  BRISK_CHECK(to->blocks.empty());
  for (const BlockId block : from.blocks) pool_.ref(block);
  *to = from;
}

void BlockCache::release(BlockTable* table) {
  while (!table->blocks.empty()) {
    unref(table->blocks.back());
    table->blocks.pop_back();
  }
  table->published = 0;
}

BlockId BlockCache::allocate() {
  if (pool_.free_blocks() == 0) index_.erase(pool_.evict());
  return pool_.allocate();
}

absl::Status BlockCache::audit(std::span<const BlockTable* const> tables) const {
  std::vector<int32_t> refs(static_cast<size_t>(pool_.blocks()), 0);
  for (const BlockTable* table : tables) {
    for (const BlockId block : table->blocks) ++refs[static_cast<size_t>(block.value)];
  }
  int32_t used = 0, cached = 0;
  for (int32_t i = 0; i < pool_.blocks(); ++i) {
    const int32_t expected = refs[static_cast<size_t>(i)];
    if (pool_.refs({i}) != expected) {
      return absl::InternalError(fmt::format("block {} counts {} references, tables hold {}", i,
                                             pool_.refs({i}), expected));
    }
    if (expected > 0) ++used;
    if (expected == 0 && index_.contains({i})) ++cached;
  }
  if (used != pool_.used_blocks() || cached != pool_.cached_blocks()) {
    return absl::InternalError(
        fmt::format("{} blocks used and {} cached, the pool counts {} and {}", used, cached,
                    pool_.used_blocks(), pool_.cached_blocks()));
  }
  return absl::OkStatus();
}

}  // namespace brisk
