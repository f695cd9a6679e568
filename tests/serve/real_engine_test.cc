// The server over the real engine and a real, tiny model.
#include <cmath>
#include <filesystem>
#include <thread>

#include "serve/api/chat_renderer.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;
using test::RawClient;

class RealEngineTest : public test::ApiTest {
 protected:
  void SetUp() override {
    const std::string path = std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260K.bin";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
    auto model = load_model(path);
    ASSERT_TRUE(model.ok()) << model.status();
    EngineOptions options;
    options.threads = 2;
    options.sequences_max = 32;  // fewer than the clients below: some wait
    options.kv_tokens = 4096;    // little enough that they press on each other
    auto engine = Engine::create(*model, options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    real_ = std::move(*engine);
    api::ServedModel served;
    served.engine = real_;
    served.tokenizer = real_->model().tokenizer.get();
    served.names = {"stories"};
    served.renderer = *api::make_chat_renderer(
        real_->model(), "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}");
    serve(std::move(served), {}, false);
  }

  void TearDown() override {
    test::ApiTest::TearDown();
    real_.reset();
  }

  // Waits until no sequence holds a block.
  bool all_free() const {
    for (int i = 0; i < 1000; ++i) {
      const EngineStats stats = real_->stats();
      if (stats.kv_blocks_used == 0 && stats.running == 0 && stats.waiting == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  static std::string story(int i, bool streamed) {
    return fmt::format(R"({{"prompt":"Once upon a time, number {} ","max_tokens":80,"seed":{},
                           "temperature":{},"stop":["\n"],"n":{},"stream":{}}})",
                       i, i, i % 4 == 0 ? 0 : 1, 1 + i % 2, streamed);
  }

  std::shared_ptr<Engine> real_;
};

TEST_F(RealEngineTest, TellsTheKnownStory) {
  const char* expected =
      ", there was a little girl named Lily. She loved to play outside in the park.";
  const Answer whole = post("/v1/completions", R"({"prompt":"Once upon a time","temperature":0,
      "max_tokens":200,"stop":"park.","include_stop_str_in_output":true})");
  ASSERT_EQ(whole.status, 200) << whole.raw.body;
  EXPECT_EQ(whole.json["choices"][0]["text"], expected);
  const Events events = stream("/v1/completions", R"({"prompt":"Once upon a time","temperature":0,
      "max_tokens":200,"stop":"park.","include_stop_str_in_output":true,"stream":true})");
  EXPECT_EQ(events.text(), expected);
  EXPECT_EQ(events.finish(), "stop");
}

TEST_F(RealEngineTest, ChatsThroughATemplateWithoutDoublingBos) {
  const char* body = R"({"messages":[{"role":"user","content":"Once upon a time"}],
      "temperature":0,"max_tokens":12})";
  const Answer chat = post("/v1/chat/completions", body);
  ASSERT_EQ(chat.status, 200) << chat.raw.body;
  const Answer plain =
      post("/v1/completions", R"({"prompt":"Once upon a time","temperature":0,"max_tokens":12})");
  EXPECT_EQ(chat.json["choices"][0]["message"]["content"], plain.json["choices"][0]["text"]);
  EXPECT_EQ(chat.json["usage"]["prompt_tokens"], plain.json["usage"]["prompt_tokens"]);
}

TEST_F(RealEngineTest, TemplatesSeeTheClientsOrderOfKeys) {
  const Answer answer = post("/apply-template", R"({
      "chat_template":"{{ messages[0].tool_calls | tojson }} {{ z | tojson }}",
      "chat_template_kwargs":{"z":{"y":1,"b":[{"x":1,"a":2}]}},
      "messages":[{"role":"assistant","tool_calls":[{"type":"function","id":"7",
        "function":{"name":"f","arguments":{"to":"b","from":"a"}}}]}]})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json["prompt"],
            R"([{"type": "function", "id": "7", "function": {"name": "f", )"
            R"("arguments": {"to": "b", "from": "a"}}}] {"y": 1, "b": [{"x": 1, "a": 2}]})");
}

TEST_F(RealEngineTest, ATemplateWithoutEndIsTheRequestsFaultAndNotTriedAgain) {
  const Answer answer = post("/apply-template", R"({"messages":[{"role":"user","content":"a"}],
      "chat_template":"{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
      })");
  EXPECT_EQ(answer.status, 400) << answer.raw.body;
  EXPECT_THAT(answer.raw.body, testing::HasSubstr("steps"));
}

TEST_F(RealEngineTest, LogprobsAreThoseOfTheChosenTokens) {
  const Answer answer = post("/v1/chat/completions", R"({"temperature":0,"max_tokens":12,
      "messages":[{"role":"user","content":"The dog"}],"logprobs":true,"top_logprobs":5})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  const Json& content = answer.json["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 12u);
  std::string text;
  for (const Json& token : content) {
    EXPECT_EQ(token["token"], token["top_logprobs"][0]["token"]) << "greedy takes the first";
    EXPECT_EQ(token["logprob"], token["top_logprobs"][0]["logprob"]);
    double mass = 0;
    for (const Json& top : token["top_logprobs"]) mass += std::exp(top["logprob"].get<double>());
    EXPECT_LE(mass, 1.0001);
    text += token["token"].get<std::string>();
  }
  EXPECT_EQ(text, answer.json["choices"][0]["message"]["content"]);
}

TEST_F(RealEngineTest, AnEchoHasTheLogprobsThatItsTextHadWhenItWasGenerated) {
  const Answer told = post("/v1/completions", R"({"prompt":"Once upon a time","temperature":0,
      "max_tokens":20,"logprobs":2})");
  ASSERT_EQ(told.status, 200) << told.raw.body;
  const std::string text = told.json["choices"][0]["text"];
  const Answer echo = post(
      "/v1/completions",
      Json{
          {"prompt", "Once upon a time" + text}, {"max_tokens", 0}, {"logprobs", 2}, {"echo", true}}
          .dump());
  ASSERT_EQ(echo.status, 200) << echo.raw.body;
  EXPECT_EQ(echo.json["choices"][0]["text"], "Once upon a time" + text);
  const Json& generated = told.json["choices"][0]["logprobs"];
  const Json& scored = echo.json["choices"][0]["logprobs"];
  const size_t before = scored["tokens"].size() - generated["tokens"].size();
  for (size_t i = 0; i < generated["tokens"].size(); ++i) {
    for (const char* key : {"tokens", "token_logprobs", "top_logprobs"}) {
      EXPECT_EQ(scored[key][before + i], generated[key][i]) << key << i;
    }
    EXPECT_EQ(scored["text_offset"][before + i], 16 + generated["text_offset"][i].get<int>());
  }
}

TEST_F(RealEngineTest, BadWordsStayOutOfTheStory) {
  const auto tell = [&](const char* more) {
    return post("/v1/completions", fmt::format(R"({{"prompt":"Once upon a time","temperature":0,
        "max_tokens":40{}}})",
                                               more))
        .json["choices"][0]["text"]
        .get<std::string>();
  };
  EXPECT_THAT(tell(""), testing::HasSubstr("Lily"));
  EXPECT_THAT(tell(R"(,"bad_words":["Lily"])"), testing::Not(testing::HasSubstr("Lily")));
}

double sum_of_logprobs(const Json& choice) {
  double sum = 0;
  for (const Json& logprob : choice["logprobs"]["token_logprobs"]) sum += logprob.get<double>();
  return sum;
}

TEST_F(RealEngineTest, ABeamSearchFindsLikelierAnswersThanGreedyDecoding) {
  const Answer greedy = post("/v1/completions", R"({"prompt":"The dog","temperature":0,
      "max_tokens":40,"logprobs":0,"ignore_eos":true})");
  const Answer beams = post("/v1/completions", R"({"prompt":"The dog","n":3,"best_of":6,
      "use_beam_search":true,"max_tokens":40,"logprobs":0,"ignore_eos":true})");
  ASSERT_EQ(beams.status, 200) << beams.raw.body;
  ASSERT_EQ(beams.json["choices"].size(), 3u);
  EXPECT_GT(sum_of_logprobs(beams.json["choices"][0]), sum_of_logprobs(greedy.json["choices"][0]));
  EXPECT_GE(sum_of_logprobs(beams.json["choices"][0]), sum_of_logprobs(beams.json["choices"][1]));
  EXPECT_GE(sum_of_logprobs(beams.json["choices"][1]), sum_of_logprobs(beams.json["choices"][2]));
  const Events streamed = stream("/v1/completions", R"({"prompt":"The dog","n":1,
      "use_beam_search":true,"max_tokens":40,"ignore_eos":true,"stream":true})");
  EXPECT_EQ(streamed.text(), greedy.json["choices"][0]["text"]) << "one beam decodes greedily";
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"a","n":20,"use_beam_search":true,
      "max_tokens":400})")
                .status,
            400)
      << "beams that never fit at once";
  EXPECT_TRUE(all_free());
}

TEST_F(RealEngineTest, ACachedPromptIsTold) {
  const std::string body =
      R"({"max_tokens":4,"temperature":0,"prompt":"Once upon a time, there was a little girl )"
      R"(named Lily. She loved to play outside in the park with her friends."})";
  const Answer first = post("/v1/completions", body);
  ASSERT_EQ(first.status, 200) << first.raw.body;
  EXPECT_EQ(first.json["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  const Answer second = post("/v1/completions", body);
  EXPECT_GT(second.json["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(second.json["choices"], first.json["choices"]);
}

TEST_F(RealEngineTest, ConcurrentStreamsEqualWhatEachReturnsAlone) {
  std::vector<std::string> alone;
  for (int i = 0; i < 64; ++i) {
    const Answer answer = post("/v1/completions", story(i, false));
    ASSERT_EQ(answer.status, 200) << answer.raw.body;
    std::string text;
    for (const Json& choice : answer.json["choices"])
      text += choice["text"].get<std::string>() + "|";
    alone.push_back(text);
  }
  std::vector<std::string> together(64);
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) {
    threads.emplace_back([&, i] {
      const Events events = stream("/v1/completions", story(i, true));
      if (!events.done) return;
      for (int choice = 0; choice < 1 + i % 2; ++choice) {
        together[static_cast<size_t>(i)] += events.text(choice) + "|";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(together, alone);
  EXPECT_TRUE(all_free());
}

TEST_F(RealEngineTest, KillingHalfTheClientsFreesTheirBlocksAndHarmsNobody) {
  const Answer alone = post("/v1/completions", R"({"prompt":"The cat","seed":5,"max_tokens":300,
      "ignore_eos":true})");
  ASSERT_EQ(alone.status, 200) << alone.raw.body;
  std::vector<RawClient> clients;
  for (int i = 0; i < 64; ++i) {
    clients.push_back(client());
    clients.back().post("/v1/completions", R"({"prompt":"The cat","seed":5,"max_tokens":300,
        "ignore_eos":true,"stream":true})");
  }
  for (size_t i = 0; i < 16; ++i) EXPECT_TRUE(clients[i].read_until("\"text\"")) << i;
  for (size_t i = 0; i < 64; i += 2) clients[i].reset();  // running and waiting ones
  for (size_t i = 1; i < 16; i += 2) EXPECT_TRUE(clients[i].read_until("data: [DONE]", 60)) << i;
  for (size_t i = 17; i < 64; i += 2) {
    const Events events = test::parse_events(clients[i].read_response(60));
    EXPECT_TRUE(events.done) << i;
    EXPECT_EQ(events.text(), alone.json["choices"][0]["text"]) << i;
  }
  EXPECT_TRUE(all_free());
  EXPECT_THAT(get("/metrics").raw.body,
              testing::HasSubstr("brisk:kv_cache_usage_perc{model_name=\"stories\"} 0\n"));
}

TEST_F(RealEngineTest, StoppingWhileStreamsRunEndsThem) {
  std::vector<RawClient> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(client());
    clients.back().post("/v1/completions", R"({"prompt":"The cat","max_tokens":480,
        "ignore_eos":true,"stream":true})");
  }
  EXPECT_TRUE(clients[0].read_until("\"text\""));
  server_->stop();
  EXPECT_TRUE(all_free());
}

TEST_F(RealEngineTest, RunningRequestsSayWhatTheyDoAndFreeTheirBlocksWhenCancelled) {
  const auto listed = [this] { return get("/v1/brisk/requests").json["data"]; };
  const char* body = R"({"prompt":"Once","n":32,"ignore_eos":true,"max_tokens":400,"stream":true})";
  RawClient writing = client();
  writing.post("/v1/completions", body);
  ASSERT_TRUE(writing.read_until("data: "));
  RawClient waiting = client();
  waiting.post("/v1/completions", body);
  Json requests = listed();
  for (int i = 0; i < 500 && requests.size() < 2; ++i) requests = listed();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0]["state"], "decode");
  EXPECT_GT(requests[0]["completion_tokens"], 0);
  EXPECT_EQ(requests[0]["choices"], 32);
  EXPECT_EQ(requests[1]["state"], "waiting") << "all places are taken";
  EXPECT_EQ(requests[1]["completion_tokens"], 0);
  for (const Json& request : requests) {
    RawClient other = client();
    other.send("DELETE /v1/brisk/requests/" + request["id"].get<std::string>() +
               " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(other.read_response().status, 200);
  }
  EXPECT_TRUE(waiting.read_until("cancelled_error"));
  EXPECT_TRUE(writing.read_until("cancelled_error"));
  EXPECT_TRUE(all_free());
}

TEST_F(RealEngineTest, RefusesIdsThatTheVocabularyLacks) {
  const Answer stop = post("/v1/completions", R"({"prompt":"a","stop_token_ids":[512]})");
  EXPECT_EQ(stop.status, 400);
  EXPECT_EQ(stop.json["error"]["param"], "stop_token_ids");
  const Answer bias = post("/v1/completions", R"({"prompt":"a","logit_bias":{"512":1}})");
  EXPECT_EQ(bias.json["error"]["param"], "logit_bias");
  const Answer allowed = post("/v1/completions", R"({"prompt":"a","allowed_token_ids":[512]})");
  EXPECT_EQ(allowed.json["error"]["param"], "allowed_token_ids");
}

TEST(ChatRenderer, CutsBehindTheLastMessage) {
  EXPECT_EQ(*api::cut_after_last_message("<u>hi</u><a>Well, </a>", "Well, "), "<u>hi</u><a>Well, ");
  EXPECT_EQ(*api::cut_after_last_message("<u>hi</u><a>Well,</a>", " Well, "), "<u>hi</u><a>Well,");
  EXPECT_EQ(*api::cut_after_last_message("well</u><a>well</a>", "well"), "well</u><a>well");
  EXPECT_FALSE(api::cut_after_last_message("<a>WELL</a>", "well").ok());
  EXPECT_FALSE(api::cut_after_last_message("<a></a>", " ").ok());
}

}  // namespace
}  // namespace brisk
