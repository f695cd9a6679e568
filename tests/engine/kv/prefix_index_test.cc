#include "engine/kv/prefix_index.h"

#include <gtest/gtest.h>

#include <array>

namespace brisk {
namespace {

using Tokens = std::array<int32_t, 2>;

uint64_t hash_to_one(uint64_t, std::span<const int32_t>) { return 1; }

PrefixIndex make_index(BlockHash hash = &hash_block) {
  return PrefixIndex({.blocks = 8, .block_tokens = 2, .hash_seed = 9, .hash = hash});
}

TEST(PrefixIndex, FindsWhatWasInserted) {
  PrefixIndex index = make_index();
  const Tokens ab = {1, 2}, cd = {3, 4};
  EXPECT_EQ(index.find({.tokens = ab}), kNoBlock);
  EXPECT_EQ(index.insert({5}, {.tokens = ab}), BlockId{5});
  EXPECT_EQ(index.insert({6}, {.parent = {5}, .tokens = cd}), BlockId{6});
  EXPECT_EQ(index.find({.tokens = ab}), BlockId{5});
  EXPECT_EQ(index.find({.parent = {5}, .tokens = cd}), BlockId{6});
  EXPECT_EQ(index.find({.tokens = cd}), kNoBlock) << "the same tokens elsewhere are not a hit";
}

TEST(PrefixIndex, VerifiesTokensOnHashHit) {
  PrefixIndex index = make_index(&hash_to_one);
  const Tokens ab = {1, 2}, ac = {1, 3};
  index.insert({0}, {.tokens = ab});
  EXPECT_EQ(index.find({.tokens = ac}), kNoBlock);
  EXPECT_EQ(index.insert({1}, {.tokens = ac}), BlockId{1});
  EXPECT_EQ(index.find({.tokens = ab}), BlockId{0});
  EXPECT_EQ(index.find({.tokens = ac}), BlockId{1});
}

TEST(PrefixIndex, VerifiesParentOnHashHit) {
  PrefixIndex index = make_index(&hash_to_one);
  const Tokens ab = {1, 2}, cd = {3, 4};
  index.insert({0}, {.tokens = ab});
  index.insert({1}, {.tokens = cd});
  index.insert({2}, {.parent = {0}, .tokens = ab});
  EXPECT_EQ(index.find({.parent = {1}, .tokens = ab}), kNoBlock);
  EXPECT_EQ(index.find({.parent = {0}, .tokens = ab}), BlockId{2});
}

TEST(PrefixIndex, KeepsSaltsAndAdaptersApart) {
  for (const BlockHash hash : {&hash_block, &hash_to_one}) {
    PrefixIndex index = make_index(hash);
    const Tokens ab = {1, 2};
    index.insert({0}, {.scope = {.salt = 1}, .tokens = ab});
    EXPECT_EQ(index.find({.scope = {.salt = 2}, .tokens = ab}), kNoBlock);
    EXPECT_EQ(index.find({.scope = {.salt = 1, .adapter = 1}, .tokens = ab}), kNoBlock);
    EXPECT_EQ(index.find({.scope = {.salt = 1}, .tokens = ab}), BlockId{0});
  }
}

TEST(PrefixIndex, NamesTheTwinOfABlock) {
  PrefixIndex index = make_index();
  const Tokens ab = {1, 2};
  index.insert({3}, {.tokens = ab});
  EXPECT_EQ(index.insert({4}, {.tokens = ab}), BlockId{3});
  EXPECT_FALSE(index.contains({4}));
}

TEST(PrefixIndex, ForgetsErasedBlocksAmidACollision) {
  PrefixIndex index = make_index(&hash_to_one);
  const std::array<Tokens, 3> tokens = {{{1, 1}, {2, 2}, {3, 3}}};
  for (int32_t i = 0; i < 3; ++i) index.insert({i}, {.tokens = tokens[static_cast<size_t>(i)]});
  index.erase({1});
  EXPECT_EQ(index.find({.tokens = tokens[0]}), BlockId{0});
  EXPECT_EQ(index.find({.tokens = tokens[1]}), kNoBlock);
  EXPECT_EQ(index.find({.tokens = tokens[2]}), BlockId{2});
}

}  // namespace
}  // namespace brisk
