#include "model/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/model/tokenizer/test_tokenizers.h"

namespace brisk {
namespace {

using Words = std::vector<std::string>;
using Behavior = SplitStep::Behavior;

PreTokenizer pre_tokenizer_of(const TokenizerData& data) {
  auto made = PreTokenizer::create(data);
  EXPECT_TRUE(made.ok()) << message_of(made.status());
  return std::move(*made);
}

Words split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  std::vector<std::string_view> words;
  pre_tokenizer.split(text, &words);
  return {words.begin(), words.end()};
}

Words split(std::string family, std::string_view text) {
  TokenizerData data;
  data.pre_tokenizer = std::move(family);
  return split(pre_tokenizer_of(data), text);
}

Words split(SplitStep step, std::string_view text) {
  TokenizerData data;
  data.splits = {std::move(step)};
  return split(pre_tokenizer_of(data), text);
}

TEST(PreTokenizer, CutsAsItsFamilyDoes) {
  const std::string text = "I'M 12345 x=Über's  \n\n ok";
  EXPECT_EQ(split("gpt-2", text),
            (Words{"I", "'", "M", " 12345", " x", "=", "Über", "'s", "  \n\n", " ok"}));
  EXPECT_EQ(split("llama-bpe", text),
            (Words{"I", "'M", " ", "123", "45", " x", "=Über", "'s", "  \n\n", " ok"}));
  EXPECT_EQ(split("qwen2", "a 12"), (Words{"a", " ", "1", "2"}));
  EXPECT_EQ(split("smollm", "a 12"), (Words{"a", " ", "1", "2"}));
  EXPECT_EQ(split("default", "a, 12345"), (Words{"a", ",", " ", "123", "45"}));
  EXPECT_EQ(split("deepseek-llm", "Hi, 世界 12  "),
            (Words{"Hi", ",", " ", "世界", " ", "12", "  "}));
  EXPECT_EQ(split("deepseek-v3", "Hi,you 1234"), (Words{"Hi", ",you", " ", "123", "4"}));
  EXPECT_EQ(split("gpt-4o", "HelloWORLD'll a/b/\n"),
            (Words{"Hello", "WORLD'll", " a", "/b", "/\n"}));
  EXPECT_EQ(split("tekken", "HelloWorld 42"), (Words{"Hello", "World", " ", "4", "2"}));
  EXPECT_EQ(split("bloom", "Hi, you!"), (Words{"Hi", ",", " you", "!"}));
}

TEST(PreTokenizer, EveryFamilyKeepsEveryByte) {
  for (const PreTokenizerFamily& family : pre_tokenizer_families()) {
    TokenizerData data;
    data.pre_tokenizer = family.names.front();
    const PreTokenizer pre_tokenizer = pre_tokenizer_of(data);
    for (const std::string& text : multilingual_texts()) {
      std::string joined;
      for (const std::string& word : split(pre_tokenizer, text)) {
        ASSERT_FALSE(word.empty());
        joined += word;
      }
      EXPECT_EQ(joined, text) << family.names.front();
    }
  }
}

// Perl's \s has the Mongolian vowel separator, Unicode's White_Space does not.
TEST(PreTokenizer, SpacesAreUnicodes) {
  EXPECT_EQ(split("gpt-2", "a\u180E\u180Eb"), (Words{"a", "\u180E\u180E", "b"}));
  EXPECT_EQ(split("gpt-2", "a\u3000\u0085b"), (Words{"a", "\u3000", "\u0085", "b"}));
}

TEST(PreTokenizer, InvalidBytesAreWordsOfTheirOwn) {
  EXPECT_EQ(split("gpt-2", "ab\xFF\xFE c\xE2\x82"), (Words{"ab", "\xFF\xFE", " c", "\xE2\x82"}));
}

TEST(PreTokenizer, RefusesUnknownFamiliesAndBadPatterns) {
  TokenizerData data;
  data.pre_tokenizer = "no-such-family";
  EXPECT_TRUE(absl::IsUnimplemented(PreTokenizer::create(data).status()));
  data.pre_tokenizer.clear();
  data.splits = {{.pattern = "(unclosed"}};
  EXPECT_TRUE(absl::IsInvalidArgument(PreTokenizer::create(data).status()));
  data.splits = {{.pattern = R"([\p{L}&&[^\p{Han}]]+)"}};
  EXPECT_TRUE(absl::IsUnimplemented(PreTokenizer::create(data).status()));
  data.splits.assign(33, {.pattern = "a"});
  EXPECT_TRUE(absl::IsInvalidArgument(PreTokenizer::create(data).status()));
}

TEST(SplitPattern, BehavesAsTold) {
  const std::string text = "the-final--countdown";
  const auto with = [](Behavior behavior) { return SplitStep{"-", behavior, false}; };
  // The examples of the tokenizers library's documentation.
  EXPECT_EQ(split(with(Behavior::kRemoved), text), (Words{"the", "final", "countdown"}));
  EXPECT_EQ(split(with(Behavior::kIsolated), text),
            (Words{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split(with(Behavior::kMergedWithPrevious), text),
            (Words{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split(with(Behavior::kMergedWithNext), text),
            (Words{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split(with(Behavior::kContiguous), text),
            (Words{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split({"[a-z]+", Behavior::kRemoved, true}, text),
            (Words{"the", "final", "countdown"}));
}

TEST(SplitPattern, EmptyMatchesCut) {
  EXPECT_EQ(split({"(?=[A-Z])", Behavior::kIsolated, false}, "helloWorldAgain"),
            (Words{"hello", "World", "Again"}));
}

TEST(SplitPattern, CatastrophicPatternsEnd) {
  const std::string text = std::string(200'000, 'a') + "!";
  const Words words = split({"(a+)+$", Behavior::kIsolated, false}, text);
  std::string joined;
  for (const std::string& word : words) joined += word;
  EXPECT_EQ(joined, text);
}

TEST(SplitPattern, UnknownPatternsSeeWholeWords) {
  std::string text;
  Words expected;
  for (int i = 0; i < 20'000; ++i) {
    expected.push_back((i == 0 ? "w" : " w") + std::to_string(i));
    text += expected.back();
  }
  EXPECT_EQ(split({" ?[a-z0-9]+", Behavior::kIsolated, false}, text), expected);
}

}  // namespace
}  // namespace brisk
