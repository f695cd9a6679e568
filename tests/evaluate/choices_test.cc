#include "compress/evaluate/choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/status.h"
#include "compress/evaluate/token_scores.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

using testing::HasSubstr;

// -ln p of tokens[first...], from a decoder that is fed all of them.
double nats_of(const Model& model, const std::vector<int32_t>& tokens, size_t first) {
  DecoderHarness decoder(model, {});
  const std::vector<float> logits = decoder.feed(tokens);
  const auto vocab = static_cast<size_t>(model.spec.vocab_size);
  double nats = 0;
  for (size_t i = first; i < tokens.size(); ++i) {
    nats += score_token(std::span(logits).subspan((i - 1) * vocab, vocab), tokens[i]).nats;
  }
  return nats;
}

class Stories260K : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path = BRISK_DATA_DIR "/models/stories260K/stories260K.bin";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no shared data here";
    model_ = load_model(path, {.tokenizer_path = BRISK_DATA_DIR "/models/stories260K/tok512.model"})
                 .value();
  }

  ChoiceAnswer answer(const ChoiceQuestion& question, const ChoiceOptions& options = {}) {
    return answer_choices(*model_, {question}, options).value().front();
  }

  std::shared_ptr<const Model> model_;
};

TEST_F(Stories260K, ChoicesCostWhatTheirTokensCostAfterTheQuery) {
  const ChoiceQuestion question = {.query = "Once upon a time, there was a little girl",
                                   .choices = {"named Lily.", "named Bob who ran", "xyz"},
                                   .gold = 0};
  const ChoiceAnswer found = answer(question);
  const Tokenizer& tokenizer = *model_->tokenizer;
  const size_t given = 1 + tokenizer.encode(question.query, {.add_special = false}).size();
  for (size_t i = 0; i < question.choices.size(); ++i) {
    std::vector<int32_t> tokens =
        tokenizer.encode(question.query + " " + question.choices[i], {.add_special = false});
    tokens.insert(tokens.begin(), tokenizer.rules().bos);
    // The same bits: the runner computes what choices share only once.
    EXPECT_EQ(found.nats[i], nats_of(*model_, tokens, given)) << question.choices[i];
  }
  EXPECT_EQ(found.likeliest, 0u);
  EXPECT_FALSE(found.is_cut);
}

// Worked out by hand from the nats: a long choice costs more, but less for each of its bytes.
TEST_F(Stories260K, BytesAreTheChoicesOwn) {
  const ChoiceQuestion question = {
      .query = "Lily and her mom went to the park. They saw a big",
      .choices = {"dog.", "dog. The dog was very happy and wanted to play with Lily."},
      .gold = 1};
  const ChoiceAnswer found = answer(question);
  ASSERT_LT(found.nats[0], found.nats[1]);
  ASSERT_GT(found.nats[0] / 4, found.nats[1] / 57) << "4 and 57 bytes";
  ASSERT_EQ(question.choices[1].size(), 57u);
  EXPECT_EQ(found.likeliest, 0u);
  EXPECT_EQ(found.likeliest_per_byte, 1u);
}

TEST_F(Stories260K, BlanksBetweenQueryAndChoiceArePutOnce) {
  const auto nats = [&](const char* query, const char* choice) {
    return answer({.query = query, .choices = {choice, "x"}, .gold = 0}).nats[0];
  };
  const double plain = nats("The cat sat on the", "mat.");
  EXPECT_EQ(nats("The cat sat on the ", "mat."), plain);
  EXPECT_EQ(nats("The cat sat on the", " mat."), plain);
  EXPECT_NE(nats("The cat sat on the\n", "mat."), plain);
}

TEST_F(Stories260K, LongQueriesLoseTheirBeginning) {
  std::string query = "The end.";
  for (int i = 0; i < 100; ++i) query = "Once upon a time there was a dog. " + query;
  const ChoiceQuestion question = {.query = query, .choices = {"Good.", "Bad."}, .gold = 0};
  const ChoiceAnswer cut = answer(question, {.context = 64});
  EXPECT_TRUE(cut.is_cut);
  const Tokenizer& tokenizer = *model_->tokenizer;
  std::vector<int32_t> whole = tokenizer.encode(query + " Good.", {.add_special = false});
  const size_t choice_tokens =
      whole.size() - tokenizer.encode(query, {.add_special = false}).size();
  std::vector<int32_t> tokens(whole.end() - 63, whole.end());
  tokens.insert(tokens.begin(), tokenizer.rules().bos);
  EXPECT_EQ(cut.nats[0], nats_of(*model_, tokens, 64 - choice_tokens));
}

TEST_F(Stories260K, AChoiceThatFillsTheContextIsRefused) {
  const auto answers =
      answer_choices(*model_, {{.query = "a", .choices = {"b", std::string(400, 'z')}, .gold = 0}},
                     {.context = 32});
  ASSERT_FALSE(answers.ok());
  EXPECT_THAT(std::string(message_of(answers.status())), HasSubstr("question 1: a choice fills"));
}

TEST(ParseChoiceQuestions, ReadsLines) {
  const auto questions =
      parse_choice_questions(R"({"query": "q", "choices": ["a", "b"], "gold": 1, "id": 7})"
                             "\n",
                             0);
  ASSERT_TRUE(questions.ok()) << questions.status();
  EXPECT_EQ(questions->front().query, "q");
  EXPECT_EQ(questions->front().choices, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(questions->front().gold, 1u);
}

TEST(ParseChoiceQuestions, SaysWhatALineLacks) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "no question"},
      {"1", "line 1: expected an object"},
      {R"({"query": 1})", "\"query\""},
      {R"({"query": "q"})", "\"choices\""},
      {R"({"query": "q", "choices": "ab"})", "\"choices\""},
      {R"({"query": "q", "choices": ["a", 2], "gold": 0})", "not a string"},
      {R"({"query": "q", "choices": ["a", " "], "gold": 0})", "empty"},
      {R"({"query": "q", "choices": ["a"], "gold": 0})", "expected 2"},
      {R"({"query": "q", "choices": ["a", "b"]})", "\"gold\""},
      {R"({"query": "q", "choices": ["a", "b"], "gold": -1})", "\"gold\""},
      {R"({"query": "q", "choices": ["a", "b"], "gold": 2})", "\"gold\""},
      {R"({"query": "q", "choices": ["a", "b"], "gold": 0.5})", "\"gold\""},
  };
  for (const auto& [text, message] : cases) {
    const auto questions = parse_choice_questions(text, 0);
    ASSERT_FALSE(questions.ok()) << text;
    EXPECT_THAT(std::string(message_of(questions.status())), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace brisk
