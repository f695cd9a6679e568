#include "engine/kv/block_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace brisk {
namespace {

TEST(BlockPool, HandsOutEveryBlockOnce) {
  BlockPool pool(5);
  std::set<int32_t> seen;
  while (pool.free_blocks() > 0) seen.insert(pool.allocate().value);
  EXPECT_EQ(seen, (std::set<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.used_blocks(), 5);
}

TEST(BlockPool, BlockIsFreeOnlyAfterItsLastReference) {
  BlockPool pool(2);
  const BlockId block = pool.allocate();
  pool.ref(block);
  pool.unref(block, false);
  EXPECT_EQ(pool.free_blocks(), 1);
  pool.unref(block, false);
  EXPECT_EQ(pool.free_blocks(), 2);
}

TEST(BlockPool, EvictsWhatWasCachedLongest) {
  BlockPool pool(3);
  const BlockId a = pool.allocate(), b = pool.allocate(), c = pool.allocate();
  for (const BlockId block : {b, a, c}) pool.unref(block, true);
  EXPECT_EQ(pool.cached_blocks(), 3);
  pool.ref(b);  // used again, so it is the newest when it comes back
  pool.unref(b, true);
  EXPECT_EQ(pool.evict(), a);
  EXPECT_EQ(pool.evict(), c);
  EXPECT_EQ(pool.evict(), b);
  EXPECT_EQ(pool.free_blocks(), 3);
}

TEST(BlockPool, CountsAddUp) {
  BlockPool pool(4);
  const BlockId a = pool.allocate();
  pool.allocate();
  pool.unref(a, true);
  EXPECT_EQ(pool.free_blocks(), 2);
  EXPECT_EQ(pool.used_blocks(), 1);
  EXPECT_EQ(pool.cached_blocks(), 1);
}

}  // namespace
}  // namespace brisk
