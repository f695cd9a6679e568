#include "engine/kv/prefix_index.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"

namespace brisk {

uint64_t hash_block(uint64_t parent, std::span<const int32_t> tokens) {
  return XXH3_64bits_withSeed(tokens.data(), tokens.size_bytes(), parent);
}

PrefixIndex::PrefixIndex(const Options& options)
    : block_tokens_(static_cast<size_t>(options.block_tokens)),
      hash_seed_(options.hash_seed),
      hash_(options.hash),
      buckets_(std::bit_ceil(static_cast<size_t>(options.blocks))),
      entries_(static_cast<size_t>(options.blocks)),
      tokens_(static_cast<size_t>(options.blocks) * block_tokens_) {
  BRISK_CHECK(options.blocks > 0);
  BRISK_CHECK(options.block_tokens > 0);
}

BlockId PrefixIndex::find(const Key& key) const { return find_hashed(hash_of(key), key); }

BlockId PrefixIndex::insert(BlockId block, const Key& key) {
  const uint64_t hash = hash_of(key);
  if (const BlockId existing = find_hashed(hash, key); existing != kNoBlock) return existing;
  BRISK_CHECK(!entry(block).present);
  BlockId& head = buckets_[bucket_of(hash)];
  entry(block) = {
      .hash = hash, .scope = key.scope, .parent = key.parent, .next = head, .present = true};
  head = block;
  if (key.parent != kNoBlock) ++entry(key.parent).children;
  std::ranges::copy(key.tokens, tokens_.begin() + first_token(block));
  return block;
}

void PrefixIndex::erase(BlockId block) {
  Entry& erased = entry(block);
  BRISK_CHECK(erased.present);
  BRISK_CHECK(erased.children == 0);
  BlockId* place = &buckets_[bucket_of(erased.hash)];
  while (*place != block) place = &entry(*place).next;
  *place = erased.next;
  if (erased.parent != kNoBlock) --entry(erased.parent).children;
  erased = {};
}

uint64_t PrefixIndex::hash_of(const Key& key) const {
  BRISK_CHECK(key.tokens.size() == block_tokens_);
  if (key.parent != kNoBlock) {
    BRISK_CHECK(entry(key.parent).present);
    return hash_(entry(key.parent).hash, key.tokens);
  }
  const std::array<int32_t, 3> scope = {static_cast<int32_t>(key.scope.salt),
                                        static_cast<int32_t>(key.scope.salt >> 32),
                                        key.scope.adapter};
  return hash_(hash_(hash_seed_, scope), key.tokens);
}

BlockId PrefixIndex::find_hashed(uint64_t hash, const Key& key) const {
  BlockId block = buckets_[bucket_of(hash)];
  while (block != kNoBlock && !holds(block, hash, key)) block = entry(block).next;
  return block;
}

bool PrefixIndex::holds(BlockId block, uint64_t hash, const Key& key) const {
  const Entry& candidate = entry(block);
  return candidate.hash == hash && candidate.scope == key.scope && candidate.parent == key.parent &&
         std::ranges::equal(
             key.tokens,
             std::span(tokens_).subspan(static_cast<size_t>(first_token(block)), block_tokens_));
}

}  // namespace brisk
