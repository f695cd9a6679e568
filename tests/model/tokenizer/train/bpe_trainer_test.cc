#include "model/tokenizer/train/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/rng.h"

namespace brisk {
namespace {

// Counts all pairs anew for every merge.
BpeMerges train_naively(const std::vector<WordCount>& words, int32_t merges_max,
                        int64_t count_min) {
  BpeMerges trained;
  for (int byte = 0; byte < 256; ++byte) trained.tokens.emplace_back(1, static_cast<char>(byte));
  std::vector<std::pair<std::vector<int32_t>, int64_t>> texts;
  for (const WordCount& word : words) {
    std::vector<int32_t> tokens;
    for (const char c : word.word) tokens.push_back(static_cast<uint8_t>(c));
    texts.emplace_back(tokens, word.count);
  }
  while (static_cast<int32_t>(trained.merges.size()) < merges_max) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& [tokens, count] : texts) {
      for (size_t i = 0; i + 1 < tokens.size(); ++i) counts[{tokens[i], tokens[i + 1]}] += count;
    }
    // Of equals max_element takes the first, which is the lowest pair.
    const auto best =
        std::max_element(counts.begin(), counts.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == counts.end() || best->second < count_min) break;
    const auto [left, right] = best->first;
    const auto merged = static_cast<int32_t>(trained.tokens.size());
    for (auto& [tokens, count] : texts) {
      std::vector<int32_t> shorter;
      for (size_t i = 0; i < tokens.size(); ++i) {
        const bool found = i + 1 < tokens.size() && tokens[i] == left && tokens[i + 1] == right;
        shorter.push_back(found ? merged : tokens[i]);
        i += found ? 1 : 0;
      }
      tokens = shorter;
    }
    trained.merges.push_back(best->first);
    trained.tokens.push_back(trained.tokens[static_cast<size_t>(left)] +
                             trained.tokens[static_cast<size_t>(right)]);
  }
  for (const auto& [tokens, count] : texts) {
    trained.corpus_tokens += count * static_cast<int64_t>(tokens.size());
  }
  return trained;
}

std::vector<WordCount> random_words(uint64_t seed, int letters, int words, int length_max) {
  Rng rng(seed);
  std::map<std::string, int64_t> counts;
  for (int i = 0; i < words; ++i) {
    std::string word;
    const uint64_t length = 1 + rng.next_below(static_cast<uint64_t>(length_max));
    for (uint64_t j = 0; j < length; ++j) {
      word += static_cast<char>('a' + rng.next_below(static_cast<uint64_t>(letters)));
    }
    counts[word] += static_cast<int64_t>(1 + rng.next_below(5));
  }
  std::vector<WordCount> list;
  for (const auto& [word, count] : counts) list.push_back({word, count});
  return list;
}

void expect_equal(const BpeMerges& trained, const BpeMerges& naive) {
  ASSERT_EQ(trained.merges, naive.merges);
  EXPECT_EQ(trained.tokens, naive.tokens);
  EXPECT_EQ(trained.corpus_tokens, naive.corpus_tokens);
}

TEST(TrainBpe, MakesTheMergesOfTheNaiveTrainer) {
  for (uint64_t seed = 0; seed < 21; ++seed) {
    const int letters = 1 + static_cast<int>(seed % 7);
    const std::vector<WordCount> words = random_words(seed, letters, 80, 14);
    for (const int64_t count_min : {1, 2, 9}) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", at least " << count_min);
      expect_equal(train_bpe(words, 120, count_min, [](int32_t) {}),
                   train_naively(words, 120, count_min));
    }
  }
}

TEST(TrainBpe, CountsRunsOfOneLetterOnceForEveryPlace) {
  for (const char* word : {"aa", "aaa", "aaaa", "aaaaaaaaaaaaa", "abababa", "aabaabaab"}) {
    const std::vector<WordCount> words = {{word, 3}};
    expect_equal(train_bpe(words, 20, 1, [](int32_t) {}), train_naively(words, 20, 1));
  }
}

TEST(TrainBpe, OfEquallyFrequentPairsTheLowestGoesFirst) {
  const BpeMerges trained = train_bpe({{"cd", 2}, {"ab", 2}, {"ac", 2}}, 2, 1, [](int32_t) {});
  ASSERT_EQ(trained.merges.size(), 2u);
  EXPECT_EQ(trained.tokens[256], "ab");
  EXPECT_EQ(trained.tokens[257], "ac");
}

TEST(TrainBpe, StopsWhenNoPairIsLeft) {
  EXPECT_TRUE(train_bpe({}, 5, 1, [](int32_t) {}).merges.empty());
  EXPECT_TRUE(train_bpe({{"a", 9}}, 5, 1, [](int32_t) {}).merges.empty());
  EXPECT_EQ(train_bpe({{"abc", 9}}, 5, 1, [](int32_t) {}).merges.size(), 2u);
}

}  // namespace
}  // namespace brisk
