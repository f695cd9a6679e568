#include "engine/kv/block_cache.h"

#include <gtest/gtest.h>

#include <numeric>

namespace brisk {
namespace {

std::vector<int32_t> tokens_from(int32_t first, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// A table with the KV of `tokens`, published.
BlockTable fill(BlockCache* cache, const std::vector<int32_t>& tokens) {
  BlockTable table;
  cache->extend(&table, static_cast<int64_t>(tokens.size()));
  cache->publish(tokens, {}, &table);
  return table;
}

TEST(BlockCache, FindsOnlyFullBlocksAndStopsAtTheFirstMiss) {
  BlockCache cache({.blocks = 8, .block_tokens = 4});
  const auto tokens = tokens_from(0, 11);
  const BlockTable table = fill(&cache, tokens);
  std::vector<BlockId> hits;
  cache.find_prefix(tokens, {}, &hits);
  EXPECT_EQ(hits, (std::vector<BlockId>{table.blocks[0], table.blocks[1]}));
  auto other = tokens;
  other[5] = 99;
  cache.find_prefix(other, {}, &hits);
  EXPECT_EQ(hits, (std::vector<BlockId>{table.blocks[0]}));
}

TEST(BlockCache, KeepsReleasedPrefixesUntilTheRoomIsNeeded) {
  BlockCache cache({.blocks = 4, .block_tokens = 4});
  const auto tokens = tokens_from(0, 12);
  BlockTable table = fill(&cache, tokens);
  cache.release(&table);
  EXPECT_EQ(cache.available_blocks(), 4);
  std::vector<BlockId> hits;
  cache.find_prefix(tokens, {}, &hits);
  EXPECT_EQ(hits.size(), 3u);

  BlockTable large;
  cache.extend(&large, 8);  // one free block, then the end of the old prefix
  cache.find_prefix(tokens, {}, &hits);
  EXPECT_EQ(hits.size(), 2u);
  EXPECT_TRUE(cache.audit(std::vector<const BlockTable*>{&large}).ok());
}

TEST(BlockCache, TakesTheTwinOfABlockComputedTwice) {
  BlockCache cache({.blocks = 8, .block_tokens = 4});
  const auto tokens = tokens_from(0, 8);
  BlockTable a, b;
  cache.extend(&a, 8);
  cache.extend(&b, 8);
  EXPECT_FALSE(cache.publish(tokens, {}, &a));
  EXPECT_TRUE(cache.publish(tokens, {}, &b));
  EXPECT_EQ(a.blocks, b.blocks);
  EXPECT_EQ(cache.pool().used_blocks(), 2);
}

TEST(BlockCache, CopiesASharedTailUntilOneOwnerIsLeft) {
  BlockCache cache({.blocks = 8, .block_tokens = 4});
  BlockTable a = fill(&cache, tokens_from(0, 6)), b;
  cache.fork(a, &b);
  const BlockId shared = a.blocks.back();
  const auto copy = cache.own_tail(&a);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->from, shared);
  EXPECT_EQ(copy->to, a.blocks.back());
  EXPECT_FALSE(cache.own_tail(&b).has_value());
  EXPECT_EQ(b.blocks.back(), shared);
  EXPECT_EQ(a.blocks.front(), b.blocks.front());
}

TEST(BlockCache, AuditNoticesAForgottenTable) {
  BlockCache cache({.blocks = 8, .block_tokens = 4});
  const BlockTable table = fill(&cache, tokens_from(0, 6));
  EXPECT_TRUE(cache.audit(std::vector<const BlockTable*>{&table}).ok());
  EXPECT_FALSE(cache.audit({}).ok());
}

TEST(BlockCache, FindsNothingWhenTurnedOff) {
  BlockCache cache({.blocks = 8, .block_tokens = 4, .prefix_cache = false});
  const auto tokens = tokens_from(0, 8);
  BlockTable table = fill(&cache, tokens);
  cache.release(&table);
  std::vector<BlockId> hits;
  cache.find_prefix(tokens, {}, &hits);
  EXPECT_TRUE(hits.empty());
  EXPECT_EQ(cache.pool().cached_blocks(), 0);
}

}  // namespace
}  // namespace brisk
