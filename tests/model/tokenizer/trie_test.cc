#include "model/tokenizer/trie.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/rng.h"

namespace brisk {
namespace {

TEST(Trie, FindsExactlyThePrefixesThatAMapHas) {
  Rng rng(2);
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, int32_t> expected;
    std::vector<std::string> owned;
    for (int i = 0; i < 40; ++i) {
      std::string text;
      for (uint64_t length = rng.next_below(6); length > 0; --length) {
        text.push_back(static_cast<char>(rng.next_below(3) * 127));
      }
      owned.push_back(text);
    }
    std::vector<Trie::Entry> entries;
    for (size_t i = 0; i < owned.size(); ++i) {
      entries.emplace_back(owned[i], static_cast<int32_t>(i));
      if (!owned[i].empty()) expected.try_emplace(owned[i], static_cast<int32_t>(i));
    }
    const Trie trie(entries);
    for (const std::string& text : owned) {
      std::vector<std::pair<size_t, int32_t>> found;
      trie.for_each_prefix(text + "x",
                           [&](size_t size, int32_t value) { found.emplace_back(size, value); });
      std::vector<std::pair<size_t, int32_t>> wanted;
      for (size_t size = 1; size <= text.size(); ++size) {
        const auto it = expected.find(text.substr(0, size));
        if (it != expected.end()) wanted.emplace_back(size, it->second);
      }
      ASSERT_EQ(found, wanted);
      if (text.empty()) continue;
      ASSERT_TRUE(trie.may_start(text[0]));
      ASSERT_EQ(trie.longest_prefix(text).value, expected.at(text));
    }
  }
}

TEST(Trie, AnEmptyOneFindsNothing) {
  EXPECT_TRUE(Trie().empty());
  EXPECT_EQ(Trie().longest_prefix("a").size, 0U);
  EXPECT_FALSE(Trie().may_start('a'));
}

}  // namespace
}  // namespace brisk
