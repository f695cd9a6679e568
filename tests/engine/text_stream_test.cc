// Text from token events: characters stay whole, stop strings are found wherever tokens cut them.
#include "engine/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "tests/engine/fake_tokenizer.h"

namespace brisk {
namespace {

using test::FakeTokenizer;
using test::kEnd;
using testing::ElementsAre;

class TextStreamTest : public testing::Test {
 protected:
  static std::shared_ptr<const StopStrings> stops(std::vector<std::string> strings) {
    return *StopStrings::create(std::move(strings));
  }

  // Feeds `text` byte by byte, with a take after each, and finishes with kLength.
  std::vector<std::string> deltas(std::string_view text, TextStreamOptions options) {
    TextStream stream(tokenizer_, std::move(options));
    std::vector<std::string> all;
    for (size_t i = 0; i < text.size() && !stream.finish().has_value(); ++i) {
      TokenEvent event{.token = static_cast<unsigned char>(text[i])};
      if (i + 1 == text.size()) event.finish = FinishReason::kLength;
      stream.push(event);
      all.push_back(stream.take().text);
    }
    finish_ = stream.finish();
    hit_ = stream.hit_stop_string();
    tokens_ = stream.tokens();
    return all;
  }

  std::string whole(std::string_view text, TextStreamOptions options) {
    std::string joined;
    for (const std::string& delta : deltas(text, std::move(options))) joined += delta;
    return joined;
  }

  const FakeTokenizer tokenizer_;
  std::optional<FinishReason> finish_;
  bool hit_ = false;
  int tokens_ = 0;
};

TEST_F(TextStreamTest, PassesTextThrough) {
  EXPECT_THAT(deltas("abc", {}), ElementsAre("a", "b", "c"));
  EXPECT_EQ(finish_, FinishReason::kLength);
  EXPECT_FALSE(hit_);
}

TEST_F(TextStreamTest, NeverSplitsACharacter) {
  EXPECT_THAT(deltas("aé€😀", {}), ElementsAre("a", "", "é", "", "", "€", "", "", "", "😀"));
}

TEST_F(TextStreamTest, IncompleteBytesAtTheEndAreReplaced) {
  EXPECT_EQ(whole("a\xE2\x82", {}), "a\uFFFD");
}

TEST_F(TextStreamTest, HoldsBackWhatCouldBecomeAStopString) {
  EXPECT_THAT(
      deltas("one STOX two STOP three", {.stops = stops({"STOP"})}),
      ElementsAre("o", "n", "e", " ", "", "", "", "STOX", " ", "t", "w", "o", " ", "", "", "", ""));
  EXPECT_EQ(finish_, FinishReason::kStop);
  EXPECT_TRUE(hit_);
  EXPECT_EQ(tokens_, 17) << "what follows the stop string does not count";
}

TEST_F(TextStreamTest, WhatIsHeldBackComesOutAtTheEnd) {
  EXPECT_EQ(whole("abc STO", {.stops = stops({"STOP"})}), "abc STO");
  EXPECT_FALSE(hit_);
}

TEST_F(TextStreamTest, FindsOverlappingBeginnings) {
  EXPECT_EQ(whole("aaaaaab!", {.stops = stops({"aaab"})}), "aaa");
  EXPECT_EQ(whole("ababababc", {.stops = stops({"ababc"})}), "abab");
}

TEST_F(TextStreamTest, TheFirstStringToCompleteWins) {
  EXPECT_EQ(whole("x<|end|>y", {.stops = stops({"|>y", "<|ends", "nd"})}), "x<|e");
  EXPECT_EQ(whole("one two", {.stops = stops({"two", "ne two", "o"})}), "");
  EXPECT_EQ(whole("xabc", {.stops = stops({"c", "abc", "bc"})}), "x") << "the longest of equals";
}

TEST_F(TextStreamTest, CanKeepTheStopString) {
  EXPECT_EQ(whole("one STOP two", {.stops = stops({"STOP"}), .include_stop = true}), "one STOP");
  EXPECT_EQ(finish_, FinishReason::kStop);
}

TEST_F(TextStreamTest, StopStringsOfSeveralBytesACharacter) {
  EXPECT_EQ(whole("über€alles", {.stops = stops({"€"})}), "über");
  EXPECT_EQ(whole("a\xE2\x82", {.stops = stops({"\uFFFD"})}), "a");
}

TEST_F(TextStreamTest, LooksForStopStringsOnlyAfterMinTokens) {
  EXPECT_EQ(whole("..a.b", {.stops = stops({"."}), .min_tokens = 3}), "..a");
}

TEST_F(TextStreamTest, TheStopTokenIsNotText) {
  for (const bool include : {false, true}) {
    TextStream stream(tokenizer_, {.include_stop = include, .keep_tokens = true});
    stream.push({.token = 'a'});
    stream.push({.token = 'b', .finish = FinishReason::kStop});
    const TextDelta delta = stream.take();
    EXPECT_EQ(delta.text, include ? "ab" : "a");
    EXPECT_EQ(delta.tokens.size(), include ? 2u : 1u);
    EXPECT_EQ(stream.tokens(), 2) << "it was generated all the same";
    EXPECT_EQ(stream.finish(), FinishReason::kStop);
    EXPECT_FALSE(stream.hit_stop_string());
  }
}

TEST_F(TextStreamTest, IgnoresWhatComesAfterTheEnd) {
  TextStream stream(tokenizer_, {.stops = stops({"b"})});
  stream.push({.token = 'a'});
  stream.push({.token = 'b'});
  stream.push({.token = 'c'});
  stream.push({.token = -1, .finish = FinishReason::kCancelled});
  EXPECT_EQ(stream.take().text, "a");
  EXPECT_EQ(stream.finish(), FinishReason::kStop);
  EXPECT_EQ(stream.tokens(), 2);
}

TEST_F(TextStreamTest, TokensComeOutWithTheirText) {
  TextStream stream(tokenizer_, {.stops = stops({"bc!"}), .keep_tokens = true});
  for (const char c : std::string("é")) {
    stream.push({.token = static_cast<unsigned char>(c), .logprob = -1});
  }
  TextDelta delta = stream.take();
  EXPECT_EQ(delta.text, "é");
  ASSERT_EQ(delta.tokens.size(), 2u);
  stream.push({.token = 'b', .logprob = -2, .top = {{.token = 'b', .logprob = -2}}});
  EXPECT_TRUE(stream.take().empty());
  stream.push({.token = 'x', .logprob = -3});
  delta = stream.take();
  EXPECT_EQ(delta.text, "bx");
  ASSERT_EQ(delta.tokens.size(), 2u);
  EXPECT_EQ(delta.tokens[0].token, 'b');
  EXPECT_EQ(delta.tokens[0].text_offset, 1) << "in characters";
  EXPECT_EQ(delta.tokens[0].top.size(), 1u);
  EXPECT_EQ(delta.tokens[1].text_offset, 2);
  for (const char c : std::string("bc!")) stream.push({.token = c});
  delta = stream.take();
  EXPECT_TRUE(delta.empty()) << "the tokens of the stop string go with it";
}

TEST_F(TextStreamTest, TheTextNeverDependsOnWhenItIsTaken) {
  Rng rng(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "ab\xE2\x82\xAC"[rng.next_below(5)];
    const TextStreamOptions options = {.stops = stops({"aab", "abab", "ba\uFFFD"})};
    TextStream seldom(tokenizer_, options);
    for (size_t i = 0; i < text.size(); ++i) {
      TokenEvent event{.token = static_cast<unsigned char>(text[i])};
      if (i + 1 == text.size()) event.finish = FinishReason::kLength;
      seldom.push(event);
    }
    EXPECT_EQ(seldom.take().text, whole(text, options)) << "round " << round;
  }
}

TEST(StopStrings, RefusesWhatIsTooMuch) {
  EXPECT_TRUE(StopStrings::create(std::vector<std::string>(kStopStringsMax, "x")).ok());
  EXPECT_FALSE(StopStrings::create(std::vector<std::string>(kStopStringsMax + 1, "x")).ok());
  EXPECT_FALSE(StopStrings::create({""}).ok());
  EXPECT_TRUE(StopStrings::create({std::string(kStopStringBytesMax, 'x')}).ok());
  EXPECT_FALSE(StopStrings::create({std::string(kStopStringBytesMax + 1, 'x')}).ok());
}

TEST(StopStrings, MatchesAsANaiveSearchDoes) {
  Rng rng(11);
  for (int round = 0; round < 500; ++round) {
    const auto random_text = [&](uint64_t length) {
      std::string text;
      for (uint64_t i = 0; i < length; ++i) text += "ab"[rng.next_below(2)];
      return text;
    };
    const std::vector<std::string> strings = {random_text(1 + rng.next_below(6)),
                                              random_text(2 + rng.next_below(6))};
    const std::string text = random_text(40);
    size_t expected = std::string::npos;
    for (const std::string& each : strings) {
      const size_t at = text.find(each);
      if (at != std::string::npos) expected = std::min(expected, at + each.size());
    }
    StopStrings::Matcher matcher(*StopStrings::create(strings));
    size_t found = std::string::npos;
    for (size_t i = 0; i < text.size() && found == std::string::npos; ++i) {
      if (matcher.push(text[i]) > 0) found = i + 1;
    }
    EXPECT_EQ(found, expected) << strings[0] << ' ' << strings[1] << ' ' << text;
  }
}

TEST(BeginsText, OnlyAfterControlTokens) {
  const FakeTokenizer tokenizer;
  EXPECT_TRUE(begins_text(tokenizer, std::vector<int32_t>{test::kBos}));
  EXPECT_FALSE(begins_text(tokenizer, std::vector<int32_t>{test::kBos, 'a'}));
}

}  // namespace
}  // namespace brisk
