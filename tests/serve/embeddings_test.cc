// /v1/embeddings over a real model; what the states must be is tests/golden/embeddings_test.cc.
#include "serve/api/embeddings.h"

#include <cmath>
#include <cstring>
#include <filesystem>

#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using testing::HasSubstr;

class EmbeddingsTest : public test::ApiTest {
 protected:
  void SetUp() override {
    const std::string path = std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260K.bin";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
    EngineOptions options;
    options.threads = 2;
    options.kv_tokens = 4096;
    options.queue_max = 100;
    real_ = Engine::create(load_model(path).value(), options).value();
    api::ServedModel served;
    served.engine = real_;
    served.tokenizer = real_->model().tokenizer.get();
    served.names = {"stories"};
    serve(std::move(served), {}, false);
  }

  void TearDown() override {
    test::ApiTest::TearDown();
    real_.reset();
  }

  Answer embed(const Json& body) const { return post("/v1/embeddings", to_text(body)); }
  std::vector<float> vector(const Json& body) const {
    const Answer answer = embed(body);
    EXPECT_EQ(answer.status, 200) << answer.raw.body;
    return answer.json["data"][0]["embedding"].get<std::vector<float>>();
  }
  static double dot(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    }
    return sum;
  }

  std::shared_ptr<Engine> real_;
};

TEST_F(EmbeddingsTest, GivesAVectorOfLengthOneForEachInput) {
  const Answer answer =
      embed({{"model", "stories"}, {"input", {"The cat sat.", "A dog ran far."}}});
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json["object"], "list");
  EXPECT_EQ(answer.json["model"], "stories");
  ASSERT_EQ(answer.json["data"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const Json& one = answer.json["data"][i];
    EXPECT_EQ(one["object"], "embedding");
    EXPECT_EQ(one["index"], i);
    const auto values = one["embedding"].get<std::vector<float>>();
    ASSERT_EQ(values.size(), 64u);
    EXPECT_NEAR(dot(values, values), 1, 1e-6);
  }
  EXPECT_NE(answer.json["data"][0]["embedding"], answer.json["data"][1]["embedding"]);
  const Json& usage = answer.json["usage"];
  EXPECT_GT(usage["prompt_tokens"], 5);
  EXPECT_EQ(usage["prompt_tokens"], usage["total_tokens"]);
}

TEST_F(EmbeddingsTest, TextAndItsTokensAreTheSame) {
  const Json tokens = post("/tokenize", R"({"prompt":"The cat sat."})").json["tokens"];
  const auto text = vector({{"input", "The cat sat."}});
  EXPECT_EQ(vector({{"input", tokens}}), text);
  EXPECT_EQ(vector({{"input", Json::array({tokens})}}), text);
  EXPECT_EQ(vector({{"input", "The cat sat."}}), text) << "again, when it could be cached";
}

TEST_F(EmbeddingsTest, PoolsAsAsked) {
  const auto mean = vector({{"input", "The cat sat on it."}, {"pooling", "mean"}});
  const auto last = vector({{"input", "The cat sat on it."}, {"pooling", "last"}});
  EXPECT_EQ(vector({{"input", "The cat sat on it."}}), mean) << "the default";
  EXPECT_LT(dot(mean, last), 0.999);
}

TEST_F(EmbeddingsTest, Base64IsTheSameNumbers) {
  const auto expected = vector({{"input", "The cat."}});
  const Answer answer = embed({{"input", "The cat."}, {"encoding_format", "base64"}});
  EXPECT_EQ(answer.json["data"][0]["embedding"], api::encode_base64(expected));
  const float one = 1, two = 2;  // 00 00 80 3f, 00 00 00 40
  EXPECT_EQ(api::encode_base64({}), "");
  EXPECT_EQ(api::encode_base64({&one, 1}), "AACAPw==");
  EXPECT_EQ(api::encode_base64(std::vector<float>{one, two}), "AACAPwAAAEA=");
  EXPECT_EQ(api::encode_base64(std::vector<float>{one, two, one}), "AACAPwAAAEAAAIA/");
}

TEST_F(EmbeddingsTest, FewerDimensionsAreTheFirstOnesMadeLengthOne) {
  const auto all = vector({{"input", "The cat."}});
  const auto few = vector({{"input", "The cat."}, {"dimensions", 8}});
  ASSERT_EQ(few.size(), 8u);
  EXPECT_NEAR(dot(few, few), 1, 1e-6);
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(few[i] / few[0], all[i] / all[0], 1e-3);
  EXPECT_EQ(api::finish_embedding({0, 0}, std::nullopt), (std::vector<float>{0, 0}));
}

TEST_F(EmbeddingsTest, ManyInputsComeBackInOrderWhateverTheQueueHolds) {
  Json inputs = Json::array();
  for (int i = 0; i < 300; ++i) inputs.push_back(fmt::format("Story number {} of a cat", i));
  const Answer answer = embed({{"input", inputs}});
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  ASSERT_EQ(answer.json["data"].size(), 300u);
  for (const int i : {0, 63, 64, 150, 299}) {
    EXPECT_EQ(answer.json["data"][static_cast<size_t>(i)]["embedding"],
              embed({{"input", inputs[static_cast<size_t>(i)]}}).json["data"][0]["embedding"]);
  }
}

TEST_F(EmbeddingsTest, SaysWhatIsWrong) {
  const std::vector<std::pair<const char*, const char*>> bad = {
      {R"({})", "input"},
      {R"({"input":""})", "input"},
      {R"({"input":[]})", "input"},
      {R"({"input":[""]})", "input"},
      {R"({"input":[[]]})", "input"},
      {R"({"input":["a",3]})", "input"},
      {R"({"input":[99999]})", "input"},
      {R"({"input":"a","encoding_format":"hex"})", "encoding_format"},
      {R"({"input":"a","dimensions":65})", "dimensions"},
      {R"({"input":"a","dimensions":0})", "dimensions"},
      {R"({"input":"a","pooling":"max"})", "pooling"},
      {R"({"input":"a","stream":true})", "stream"},
  };
  for (const auto& [body, param] : bad) {
    const Answer answer = post("/v1/embeddings", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(answer.json["error"]["param"], param) << body;
  }
  EXPECT_EQ(embed({{"input", "a"}, {"model", "other"}}).status, 404);
  std::string text;
  for (int i = 0; i < 600; ++i) text += " cat";
  const Answer large = embed({{"input", text}});
  EXPECT_EQ(large.status, 400);
  EXPECT_EQ(large.json["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(embed({{"input", text}, {"truncate_prompt_tokens", -1}}).status, 200);
  EXPECT_EQ(embed({{"input", std::vector<std::string>(2049, "a")}}).status, 400);
}

TEST_F(EmbeddingsTest, AClientThatLeavesEndsItsWork) {
  {
    test::RawClient raw = client();
    raw.post("/v1/embeddings", to_text({{"input", std::vector<std::string>(2000, "The cat sat")}}));
    for (int i = 0; i < 1000 && real_->stats().prompt_tokens == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  bool idle = false;
  for (int i = 0; i < 5000 && !idle; ++i) {
    const EngineStats stats = real_->stats();
    idle = stats.running == 0 && stats.waiting == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(idle);
}

}  // namespace
}  // namespace brisk
