// Structured output through the real engine: answers keep to their grammar at temperature 1, alone
// and in company, and nobody else's answers change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/grammar_cache.h"
#include "engine/request_validation.h"
#include "tests/engine/fake_tokenizer.h"
#include "tests/engine/grammar/valid_json.h"

namespace brisk {
namespace {

constexpr const char* kSchema =
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":6},"age":{"type":"integer",
    "minimum":0,"maximum":99},"ok":{"type":"boolean"},"tags":{"type":"array","maxItems":2,"items":
    {"enum":["a","b"]}}},"required":["name","age","ok"],"additionalProperties":false})";

struct Result {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<float>> logprobs;
  std::vector<FinishReason> finish;
  absl::Status status;

  friend bool operator==(const Result&, const Result&) = default;
};

// A call begins with a control token of the vocabulary, which is no part of any other answer.
TEST(GrammarCacheTest, CallsAreSpelledWithTheModelsControlTokens) {
  Model model;
  model.tokenizer = std::make_unique<test::FakeTokenizer>();
  GrammarCache grammars(model);
  const auto allows = [](const std::shared_ptr<const CompiledGrammar>& grammar,
                         std::string_view after, int32_t token) {
    GrammarMatcher matcher(grammar);
    EXPECT_TRUE(matcher.accept(after).ok());
    std::vector<uint64_t> allowed(mask_words(258));
    EXPECT_TRUE(matcher.mask(allowed).ok());
    const auto at = static_cast<size_t>(token);
    return (allowed[at / 64] >> at % 64 & 1) == 1;
  };
  ToolCallForms calls{.tools = {{.name = "f", .begin = "f", .schema = "", .end = ";"}},
                      .first = "<s> [",
                      .last = "]",
                      .text = ToolCallForms::Text::kWithout,
                      .marker = "<s>"};
  const auto strict =
      grammars.compile({.kind = GrammarSource::Kind::kToolCalls, .calls = calls}).value();
  EXPECT_TRUE(allows(strict, "Well. ", test::kBos));
  EXPECT_TRUE(allows(strict, "<s>", ' '));
  EXPECT_FALSE(allows(strict, "<s>", 'x')) << "a call has begun";
  EXPECT_FALSE(allows(strict, "<s> [f", test::kBos));
  EXPECT_FALSE(allows(strict, "<s> [f{}", test::kEnd)) << "that ends a text";
  const auto json = grammars.compile({.kind = GrammarSource::Kind::kJsonObject}).value();
  EXPECT_TRUE(allows(json, "{\"", '<'));
  EXPECT_FALSE(allows(json, "{\"", test::kBos));
}

class StructuredOutputTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path =
        std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260Ktok512.gguf";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
    model_ = load_model(path).value();
    grammars_ = std::make_unique<GrammarCache>(*model_);
  }

  std::unique_ptr<Engine> engine(int64_t kv_tokens = 4096, int sequences = 64) const {
    EngineOptions options;
    options.threads = 2;
    options.kv_tokens = kv_tokens;
    options.sequences_max = sequences;
    return Engine::create(model_, options).value();
  }

  Request request(uint64_t seed, bool structured = true) const {
    Request request;
    request.prompt = model_->tokenizer->encode("Once upon a time", {});
    request.max_tokens = 120;
    request.choices = 1 + static_cast<int>(seed % 3);
    request.sampling.seed = seed;
    request.sampling.logprobs = seed % 2 == 0 ? 2 : -1;
    if (structured) request.grammar = grammar({GrammarSource::Kind::kJsonSchema, kSchema, {}});
    return request;
  }

  std::shared_ptr<const CompiledGrammar> grammar(const GrammarSource& source) const {
    return grammars_->compile(source).value();
  }

  static Result read(const std::shared_ptr<Generation>& generation, int choices) {
    Result result;
    result.tokens.resize(static_cast<size_t>(choices));
    result.logprobs.resize(static_cast<size_t>(choices));
    result.finish.resize(static_cast<size_t>(choices));
    while (!generation->done()) {
      for (const TokenEvent& event : generation->wait_and_take()) {
        const auto choice = static_cast<size_t>(event.choice);
        if (event.token >= 0) result.tokens[choice].push_back(event.token);
        if (event.token >= 0) result.logprobs[choice].push_back(event.logprob);
        if (event.finish.has_value()) result.finish[choice] = *event.finish;
      }
    }
    result.status = generation->status();
    return result;
  }

  Result answer(Engine* engine, const Request& request) const {
    return read(engine->submit(request).value(), request.choices);
  }

  std::string text_of(const std::vector<int32_t>& tokens) const {
    std::string text;
    for (const int32_t token : tokens) text += model_->tokenizer->decode_token(token, false);
    return text;
  }

  std::shared_ptr<const Model> model_;
  std::unique_ptr<GrammarCache> grammars_;
};

TEST_F(StructuredOutputTest, AnswersAreValidAndEndByThemselves) {
  const auto engine = this->engine();
  int ended = 0;
  std::vector<std::shared_ptr<Generation>> generations;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    generations.push_back(engine->submit(request(seed)).value());
  }
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Result result = read(generations[seed], request(seed).choices);
    ASSERT_TRUE(result.status.ok()) << result.status;
    for (size_t choice = 0; choice < result.tokens.size(); ++choice) {
      if (result.finish[choice] != FinishReason::kStop) continue;
      ++ended;
      const std::string text = text_of(result.tokens[choice]);
      EXPECT_EQ(test::why_invalid(kSchema, text), "") << text;
    }
  }
  EXPECT_GE(ended, 55) << "of 60";
}

TEST_F(StructuredOutputTest, CompanyAndPreemptionChangeNothing) {
  std::vector<Request> requests;
  for (uint64_t seed = 0; seed < 16; ++seed) requests.push_back(request(seed, seed % 3 != 0));
  std::vector<Result> alone;
  const auto quiet = engine();
  for (const Request& one : requests) alone.push_back(answer(quiet.get(), one));

  const auto busy = engine(/*kv_tokens=*/640, /*sequences=*/12);
  std::vector<std::shared_ptr<Generation>> generations;
  for (const Request& one : requests) generations.push_back(busy->submit(one).value());
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(read(generations[i], requests[i].choices), alone[i]) << i;
  }
  EXPECT_GT(busy->stats().preemptions, 0);
}

TEST_F(StructuredOutputTest, LogprobsAreThoseOfTheModelAlone) {
  const auto engine = this->engine();
  Request request = this->request(2);
  request.choices = 1;
  request.max_tokens = 1;
  request.sampling.logprobs = 5;
  request.prompt_logprobs = -1;
  const auto generation = engine->submit(request).value();
  Request free = request;
  free.grammar = nullptr;
  const auto unconstrained = engine->submit(free).value();
  const std::vector<TokenEvent> one = generation->wait_and_take();
  const std::vector<TokenEvent> other = unconstrained->wait_and_take();
  ASSERT_FALSE(one.empty());
  ASSERT_EQ(one[0].top.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(one[0].top[i].token, other[0].top[i].token);
    EXPECT_EQ(one[0].top[i].logprob, other[0].top[i].logprob);
  }
  EXPECT_EQ(text_of({one[0].token}), "{");
}

TEST_F(StructuredOutputTest, TheEndIsForcedWhereNothingElseMayCome) {
  const auto engine = this->engine();
  Request request = this->request(0, false);
  request.grammar = grammar({GrammarSource::Kind::kChoice, "", {"yes", "no"}});
  request.choices = 8;
  const Result result = answer(engine.get(), request);
  ASSERT_TRUE(result.status.ok()) << result.status;
  for (size_t choice = 0; choice < 8; ++choice) {
    EXPECT_THAT(text_of(result.tokens[choice]), testing::AnyOf("yes", "no"));
    EXPECT_EQ(result.finish[choice], FinishReason::kStop);
  }
}

TEST_F(StructuredOutputTest, APositionThatNoTokenFitsEndsTheChoiceWithAnError) {
  const auto engine = this->engine();
  Request request = this->request(0, false);
  request.grammar = grammar({GrammarSource::Kind::kChoice, "", {"yes"}});
  request.min_tokens = 100;  // the answer is over before
  const Result result = answer(engine.get(), request);
  EXPECT_EQ(result.finish[0], FinishReason::kError);
  EXPECT_THAT(result.status.ToString(), testing::HasSubstr("no token can continue the answer"));
}

TEST_F(StructuredOutputTest, BeamSearchAndIgnoreEosAreRefused) {
  Request request = this->request(0);
  request.ignore_eos = true;
  EXPECT_THAT(validate(request, model_->spec.vocab_size).ToString(),
              testing::HasSubstr("ignore_eos cannot be combined"));
  request.ignore_eos = false;
  request.beam_search = BeamSearchParams{};
  EXPECT_THAT(validate(request, model_->spec.vocab_size).ToString(),
              testing::HasSubstr("beam search cannot be combined"));
}

TEST_F(StructuredOutputTest, GrammarsAreCompiledOnce) {
  const GrammarSource source{GrammarSource::Kind::kRegex, "[a-z]+", {}};
  EXPECT_EQ(grammar(source), grammar(source));
  for (size_t i = 0; i < 2 * kGrammarsKept; ++i) {
    grammar({GrammarSource::Kind::kRegex, "a{" + std::to_string(i) + "}", {}});
  }
  EXPECT_FALSE(grammars_->compile({GrammarSource::Kind::kRegex, "(", {}}).ok());
}

}  // namespace
}  // namespace brisk
