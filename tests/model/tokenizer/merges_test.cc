#include "model/tokenizer/merges.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace brisk {
namespace {

std::vector<Symbol> symbols_of(const std::vector<int32_t>& ids) {
  std::vector<Symbol> symbols;
  for (const int32_t id : ids) symbols.push_back({id, 1});
  return symbols;
}

std::vector<int32_t> ids_of(const std::vector<Symbol>& symbols) {
  std::vector<int32_t> ids;
  for (const Symbol& symbol : symbols) ids.push_back(symbol.id);
  return ids;
}

// The definition: the best pair, leftmost among equals, until there is none.
std::vector<int32_t> merged_by_definition(const MergeTable& table, std::vector<int32_t> ids) {
  while (true) {
    size_t best = ids.size();
    MergeTable::Merge merge;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const MergeTable::Merge here = table.find(ids[i], ids[i + 1]);
      if (here.rank < merge.rank) {
        merge = here;
        best = i;
      }
    }
    if (best == ids.size()) return ids;
    ids[best] = merge.result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

// Pairs of a few symbols that make new ones, some of equal rank.
MergeTable random_table(Rng* rng, int32_t alphabet, int32_t merges) {
  MergeTable table;
  int32_t symbols = alphabet;
  for (int32_t i = 0; i < merges; ++i) {
    const auto left = static_cast<int32_t>(rng->next_below(static_cast<uint64_t>(symbols)));
    const auto right = static_cast<int32_t>(rng->next_below(static_cast<uint64_t>(symbols)));
    const auto rank = static_cast<uint32_t>(rng->next_below(static_cast<uint64_t>(merges)));
    table.add(left, right, {rank, symbols++});
  }
  return table;
}

TEST(Merger, AgreesWithTheDefinitionOnRandomTables) {
  Rng rng(1);
  for (int round = 0; round < 300; ++round) {
    const MergeTable table = random_table(&rng, 3, 40);
    Merger merger(table);
    for (const uint64_t length : {0, 1, 2, 5, 31, 32, 33, 64, 200}) {
      std::vector<int32_t> ids;
      for (uint64_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(rng.next_below(3)));
      std::vector<Symbol> symbols = symbols_of(ids);
      merger.merge(&symbols);
      ASSERT_EQ(ids_of(symbols), merged_by_definition(table, ids)) << "round " << round;
      uint64_t bytes = 0;
      for (const Symbol& symbol : symbols) bytes += symbol.size;
      ASSERT_EQ(bytes, length);
    }
  }
}

TEST(Merger, TakesNearlyLinearSteps) {
  // "aa" -> A, "AA" -> B, ...: the worst there is, for every symbol takes part in every round.
  MergeTable doubling;
  for (int32_t i = 0; i < 30; ++i) doubling.add(i, i, {static_cast<uint32_t>(i), i + 1});
  // One symbol eats all that follow, one by one.
  MergeTable eating;
  eating.add(0, 0, {1, 1});
  eating.add(1, 0, {0, 1});
  for (const MergeTable* table : {&doubling, &eating}) {
    Merger merger(*table);
    const size_t count = 1 << 20;
    std::vector<Symbol> symbols(count, Symbol{0, 1});
    merger.merge(&symbols);
    EXPECT_EQ(symbols.size(), 1U);
    EXPECT_LT(merger.steps(), 8 * count);
  }
}

TEST(Merger, PairsKeepTheirFirstMerge) {
  MergeTable table;
  table.add(1, 2, {5, 3});
  table.add(1, 2, {0, 4});
  EXPECT_EQ(table.find(1, 2).result, 3);
  EXPECT_EQ(table.find(2, 1).rank, MergeTable::kNever);
  EXPECT_EQ(table.find(-1, 2).rank, MergeTable::kNever);
}

}  // namespace
}  // namespace brisk
