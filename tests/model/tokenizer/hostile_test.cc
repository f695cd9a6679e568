// Texts made to be slow, a megabyte each. Bounds are so wide that only a wrong complexity breaks
// them: quadratic work on a megabyte takes minutes.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "base/rng.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/utf8.h"
#include "tests/model/tokenizer/test_tokenizers.h"

namespace brisk {
namespace {

constexpr size_t kBytes = size_t{1} << 20;
constexpr double kSecondsMax = 30;

struct HostileText {
  const char* name;
  std::string text;
};

std::string repeated(std::string_view unit) {
  std::string text;
  while (text.size() + unit.size() <= kBytes) text += unit;
  return text;
}

std::vector<HostileText> hostile_texts() {
  Rng rng(5);
  std::string letters;
  std::string bytes;
  for (size_t i = 0; i < kBytes; ++i) {
    letters.push_back(static_cast<char>('a' + rng.next_below(26)));
    bytes.push_back(static_cast<char>(rng.next_below(256)));
  }
  return {
      {"a", repeated("a")},
      {"A", repeated("A")},
      {"random letters", letters},
      {"random bytes", bytes},
      {"spaces", repeated(" ")},
      {"spaces and a letter", repeated(" ").substr(1) + "a"},
      {"newlines", repeated("\n")},
      {"carriage returns and spaces", repeated(" \r")},
      {"newline, then spaces", "\n" + repeated(" ")},
      {"tabs", repeated("\t")},
      {"digits", repeated("7")},
      {"digits and a letter", repeated("0123456789") + "x"},
      {"combining marks", "e" + repeated("\xCC\x81")},
      {"marks out of order", "e" + repeated("\xCC\x81\xCC\xA3")},
      {"apostrophes", repeated("'")},
      {"punctuation", repeated("!?")},
      {"llamas", repeated("\xF0\x9F\xA6\x99")},
      {"continuation bytes", repeated("\x80")},
      {"unfinished characters", repeated("\xF0\x9F")},
      {"special tokens", repeated("<|endoftext|>")},
      {"nearly special tokens", repeated("<|endoftext|")},
      {"visible spaces", repeated("\xE2\x96\x81")},
  };
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Hostile : public testing::TestWithParam<const char*> {};

TEST_P(Hostile, TextsEncodeInLinearTime) {
  if (!has_data(GetParam())) GTEST_SKIP() << "no " << data_path(GetParam());
  const auto tokenizer = open_tokenizer(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  double slowest = 0;
  std::string slowest_name;
  for (const HostileText& hostile : hostile_texts()) {
    std::vector<int32_t> ids;
    const double taken = seconds([&] {
      ids = tokenizer->encode(hostile.text, {.add_special = true, .parse_special = true});
    });
    EXPECT_FALSE(ids.empty()) << hostile.name;
    EXPECT_LT(taken, kSecondsMax) << hostile.name;
    if (taken > slowest) {
      slowest = taken;
      slowest_name = hostile.name;
    }
  }
  RecordProperty("slowest", slowest_name + ": " + std::to_string(slowest) + " s");
  std::cout << GetParam() << ": slowest " << slowest_name << ", " << slowest << " s\n";
}

INSTANTIATE_TEST_SUITE_P(Files, Hostile,
                         testing::Values("tokenizers/gpt2/encoder.json",
                                         "tokenizers/llama2/tokenizer.model",
                                         "tokenizers/llama3/tokenizer.model",
                                         "tokenizers/phi3/tokenizer.json",
                                         "tokenizers/qwen2/qwen.tiktoken"));

TEST(Hostile, TextsAreCutInLinearTimeByEveryFamily) {
  for (const PreTokenizerFamily& family : pre_tokenizer_families()) {
    TokenizerData data;
    data.pre_tokenizer = family.names.front();
    const auto pre_tokenizer = PreTokenizer::create(data);
    ASSERT_TRUE(pre_tokenizer.ok()) << message_of(pre_tokenizer.status());
    for (const HostileText& hostile : hostile_texts()) {
      std::vector<std::string_view> words;
      EXPECT_LT(seconds([&] { pre_tokenizer->split(hostile.text, &words); }), kSecondsMax)
          << family.names.front() << ", " << hostile.name;
      size_t bytes = 0;
      for (const std::string_view word : words) bytes += word.size();
      EXPECT_EQ(bytes, hostile.text.size()) << family.names.front() << ", " << hostile.name;
    }
  }
}

// A megabyte that is one word for the family's pattern must not be cut, whatever limits PCRE2 has.
TEST(Hostile, LongWordsStayWhole) {
  for (const char* family : {"gpt-2", "llama-bpe", "qwen2", "gpt-4o", "tekken", "deepseek-v3",
                             "deepseek-llm", "bailingmoe", "default", "smollm"}) {
    TokenizerData data;
    data.pre_tokenizer = family;
    const auto pre_tokenizer = PreTokenizer::create(data);
    ASSERT_TRUE(pre_tokenizer.ok());
    for (const char* letter : {"a", "\u00E9"}) {
      const std::string text = repeated(letter);
      std::vector<std::string_view> words;
      pre_tokenizer->split(text, &words);
      EXPECT_EQ(words.size(), 1U) << family << ' ' << letter;
    }
  }
}

TEST(Hostile, MarksAreNormalisedInLinearTime) {
  const std::string text = "e" + repeated("\xCC\x81\xCC\xA3\xCC\x81\xCC\xA5");
  for (const auto form : {NormalizerStep::Kind::kNfc, NormalizerStep::Kind::kNfd,
                          NormalizerStep::Kind::kNfkc, NormalizerStep::Kind::kNfkd}) {
    std::string result;
    EXPECT_LT(seconds([&] { result = normalized(form, text); }), kSecondsMax);
    EXPECT_GE(result.size(), text.size() - 2);
    EXPECT_EQ(normalized(form, result), result);
  }
}

}  // namespace
}  // namespace brisk
