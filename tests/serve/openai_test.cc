// OpenAI's endpoints over a fake engine: shapes and orders exactly as client libraries expect.
#include <map>
#include <set>
#include <thread>

#include "serve/api/openai_request.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;
using test::RawClient;
using testing::HasSubstr;
using testing::Not;

class OpenAiTest : public test::ApiTest {};

TEST_F(OpenAiTest, ListsModels) {
  start();
  const Answer list = get("/v1/models");
  EXPECT_EQ(list.status, 200);
  EXPECT_EQ(list.json["object"], "list");
  ASSERT_EQ(list.json["data"].size(), 2u);
  EXPECT_EQ(list.json["data"][0]["id"], "org/fake");
  EXPECT_EQ(list.json["data"][0]["object"], "model");
  EXPECT_EQ(list.json["data"][0]["created"], 1700000000);
  EXPECT_EQ(list.json["data"][0]["max_model_len"], 512);
  EXPECT_EQ(get("/v1/models/org/fake").json["id"], "org/fake");
  const Answer missing = get("/v1/models/gpt-4");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.json["error"]["code"], "model_not_found");
  EXPECT_EQ(missing.json["error"]["type"], "not_found_error");
}

TEST_F(OpenAiTest, CompletionHasExactlyOpenAisShape) {
  start();
  Answer answer = post("/v1/completions", R"({"model":"org/fake","prompt":"hi$"})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.raw.header("content-type"), "application/json");
  EXPECT_TRUE(answer.json["id"].get<std::string>().starts_with("cmpl-"));
  EXPECT_GT(answer.json["created"], 1700000000);
  answer.json.erase("id");
  answer.json.erase("created");
  EXPECT_EQ(answer.json, Json::parse(R"({
    "object": "text_completion", "model": "org/fake",
    "choices": [{"index": 0, "text": "hi", "logprobs": null, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7,
              "prompt_tokens_details": {"cached_tokens": 0}}})"));
}

TEST_F(OpenAiTest, ChatCompletionHasExactlyOpenAisShape) {
  start();
  Answer answer = post("/v1/chat/completions", R"({"model":"alias","max_tokens":8,
      "messages":[{"role":"user","content":"hello"}]})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_TRUE(answer.json["id"].get<std::string>().starts_with("chatcmpl-"));
  answer.json.erase("id");
  answer.json.erase("created");
  EXPECT_EQ(answer.json, Json::parse(R"({
    "object": "chat.completion", "model": "alias",
    "choices": [{"index": 0, "logprobs": null, "finish_reason": "length",
                 "message": {"role": "assistant", "content": "user:hel", "refusal": null}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 8, "total_tokens": 19,
              "prompt_tokens_details": {"cached_tokens": 0}}})"));
}

TEST_F(OpenAiTest, CompletionTakesEveryFormOfPrompt) {
  start();
  const auto texts = [&](const char* prompt, const char* more) {
    const Answer answer =
        post("/v1/completions", fmt::format(R"({{"prompt":{},"max_tokens":2{}}})", prompt, more));
    std::vector<std::string> all;
    for (size_t i = 0; i < answer.json["choices"].size(); ++i) {
      EXPECT_EQ(answer.json["choices"][i]["index"], i);
      all.push_back(answer.json["choices"][i]["text"]);
    }
    return all;
  };
  using testing::ElementsAre;
  EXPECT_THAT(texts(R"("abc")", ""), ElementsAre("ab"));
  EXPECT_THAT(texts(R"(["abc", "xyz"])", ""), ElementsAre("ab", "xy"));
  EXPECT_THAT(texts("[97, 98, 99]", ""), ElementsAre("ab"));
  EXPECT_THAT(texts("[[97, 98], [120, 121]]", ""), ElementsAre("ab", "xy"));
  EXPECT_THAT(texts(R"(["abc", "xyz"])", R"(,"n":2)"), ElementsAre("ab", "bc", "xy", "yz"));
  EXPECT_THAT(texts(R"("abc")", R"(,"echo":true,"n":2)"), ElementsAre("abcab", "abcbc"));
  EXPECT_THAT(texts("[97, 98]", R"(,"echo":true)"), ElementsAre("abab"));
}

TEST_F(OpenAiTest, StopStringsEndAChoiceAndFreeItsPlace) {
  start();
  const Answer answer = post("/v1/completions", R"({"prompt":"one two ","max_tokens":400,
      "stop":["two","zzz"],"n":2})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json["choices"][0]["text"], "one ");
  EXPECT_EQ(answer.json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer.json["choices"][1]["text"], "ne ");
  EXPECT_EQ(answer.json["usage"]["completion_tokens"], 7 + 6);
  EXPECT_TRUE(engine_->idle_within(5));
  const Answer kept = post("/v1/completions", R"({"prompt":"one two ","max_tokens":400,
      "stop":"two","include_stop_str_in_output":true})");
  EXPECT_EQ(kept.json["choices"][0]["text"], "one two");
}

TEST_F(OpenAiTest, StopTokensAndIgnoredEnds) {
  start();
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"abc","stop_token_ids":[99]})")
                .json["choices"][0]["text"],
            "ab");
  const Answer ignored =
      post("/v1/completions", R"({"prompt":"a$","max_tokens":4,"ignore_eos":true})");
  EXPECT_EQ(ignored.json["choices"][0]["text"], "aa");
  EXPECT_EQ(ignored.json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"a$","max_tokens":4,"ignore_eos":true,
      "skip_special_tokens":false})")
                .json["choices"][0]["text"],
            "a<end>a<end>");
}

TEST_F(OpenAiTest, CompletionLogprobs) {
  start();
  const Answer answer =
      post("/v1/completions", R"({"prompt":"€b","max_tokens":4,"logprobs":2,"echo":false})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  const Json& logprobs = answer.json["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), 4u);
  EXPECT_EQ(logprobs["tokens"][3], "b");
  EXPECT_EQ(logprobs["token_logprobs"][3], -0.5);
  EXPECT_EQ(logprobs["text_offset"], Json::parse("[0, 0, 0, 1]"));
  EXPECT_EQ(logprobs["top_logprobs"][3], Json::parse(R"({"b": -0.5, "c": -1.5})"));
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"ab","logprobs":0})")
                .json["choices"][0]["logprobs"]["top_logprobs"],
            nullptr);
}

TEST_F(OpenAiTest, ChatLogprobs) {
  start();
  const char* body = R"({"messages":[{"role":"user","content":"x"}],"max_tokens":2,
      "logprobs":true,"top_logprobs":2,"stream":false})";
  const Answer answer = post("/v1/chat/completions", body);
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json["choices"][0]["logprobs"], Json::parse(R"({"refusal": null, "content": [
    {"token": "u", "logprob": -0.5, "bytes": [117], "top_logprobs": [
      {"token": "u", "logprob": -0.5, "bytes": [117]}, {"token": "v", "logprob": -1.5, "bytes": [118]}]},
    {"token": "s", "logprob": -0.5, "bytes": [115], "top_logprobs": [
      {"token": "s", "logprob": -0.5, "bytes": [115]}, {"token": "t", "logprob": -1.5, "bytes": [116]}]}
    ]})"));
}

TEST_F(OpenAiTest, ChatStreamHasOpenAisSequence) {
  start();
  const Events events = stream("/v1/chat/completions", R"({"model":"org/fake","stream":true,
      "messages":[{"role":"user","content":"hé$"}],"stream_options":{"include_usage":true}})");
  ASSERT_EQ(events.status, 200);
  EXPECT_TRUE(events.done && events.whole);
  ASSERT_GE(events.chunks.size(), 4u);
  const Json& first = events.chunks.front();
  EXPECT_EQ(first["object"], "chat.completion.chunk");
  EXPECT_EQ(first["model"], "org/fake");
  EXPECT_EQ(first["choices"], Json::parse(R"([{"index": 0, "logprobs": null,
      "finish_reason": null, "delta": {"role": "assistant", "content": ""}}])"));
  EXPECT_TRUE(first["usage"].is_null());
  const Json& last = events.chunks[events.chunks.size() - 2];
  EXPECT_EQ(last["choices"], Json::parse(R"([{"index": 0, "logprobs": null,
      "finish_reason": "stop", "delta": {}}])"));
  const Json& usage = events.chunks.back();
  EXPECT_EQ(usage["choices"], Json::array());
  EXPECT_EQ(usage["usage"]["prompt_tokens"], 10);
  EXPECT_EQ(usage["usage"]["completion_tokens"], 9);
  for (const Json& chunk : events.chunks) {
    EXPECT_EQ(chunk["id"], first["id"]);
    EXPECT_EQ(chunk["created"], first["created"]);
  }
  EXPECT_EQ(events.text(), "user:hé");
}

TEST_F(OpenAiTest, StreamsWithoutUsageSayNothingOfIt) {
  start();
  const Events events = stream("/v1/completions", R"({"prompt":"ab$","stream":true})");
  EXPECT_TRUE(events.done);
  for (const Json& chunk : events.chunks) {
    EXPECT_FALSE(chunk.contains("usage"));
    EXPECT_EQ(chunk["object"], "text_completion");
  }
  EXPECT_EQ(events.text(), "ab");
  EXPECT_EQ(events.finish(), "stop");
}

TEST_F(OpenAiTest, StreamsSeveralChoicesEchoStopAndLogprobs) {
  start();
  const Events events = stream("/v1/completions", R"({"prompt":"one two ","stream":true,"n":3,
      "echo":true,"max_tokens":50,"stop":["two"]})");
  EXPECT_TRUE(events.done);
  EXPECT_EQ(events.text(0), "one two one ");
  EXPECT_EQ(events.text(1), "one two ne ");
  EXPECT_EQ(events.text(2), "one two e ");
  for (const int choice : {0, 1, 2}) EXPECT_EQ(events.finish(choice), "stop");
  const Events logprobs = stream("/v1/chat/completions", R"({"stream":true,"logprobs":true,
      "top_logprobs":1,"max_tokens":6,"messages":[{"role":"user","content":"x"}]})");
  std::string tokens;
  for (const Json& chunk : logprobs.chunks) {
    const Json& entry = chunk["choices"][0]["logprobs"];
    if (entry.is_null()) continue;
    for (const Json& token : entry["content"]) tokens += token["token"].get<std::string>();
  }
  EXPECT_EQ(tokens, "user:x");
}

TEST_F(OpenAiTest, MessagesMayHavePartsAndAllRoles) {
  start();
  const Answer answer = post("/v1/chat/completions", R"({"max_tokens":100,"messages":[
      {"role":"system","content":"s"}, {"role":"developer","content":"d"},
      {"role":"user","name":"Ann","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
        "function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"1","content":"t$"}]})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json["choices"][0]["message"]["content"],
            "system:s|developer:d|user:a\nb|assistant:|tool:t");
}

TEST_F(OpenAiTest, DefaultsAreOpenAisUnlessTheCheckpointSaysOtherwise) {
  start();
  const char* chat = R"({"messages":[{"role":"user","content":"a$"}]})";
  post("/v1/chat/completions", chat);
  Request request = engine_->last_request();
  EXPECT_EQ(request.max_tokens, 512 - 8) << "the rest of the context";
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_EQ(request.sampling.top_p, 1);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.logprobs, -1);
  const uint64_t seed = request.sampling.seed;
  post("/v1/chat/completions", chat);
  EXPECT_NE(engine_->last_request().sampling.seed, seed) << "random unless given";
  post("/v1/completions", R"({"prompt":"a$"})");
  EXPECT_EQ(engine_->last_request().max_tokens, 16);
  start({}, {},
        {.temperature = 0.6, .top_p = 0.9, .top_k = 20, .min_p = 0.05, .repetition_penalty = 1.1});
  post("/v1/completions", R"({"prompt":"a$"})");
  request = engine_->last_request();
  EXPECT_EQ(request.sampling.temperature, 0.6);
  EXPECT_EQ(request.sampling.top_k, 20);
  EXPECT_EQ(request.sampling.min_p, 0.05);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1);
}

TEST_F(OpenAiTest, PassesEveryParameterOn) {
  start();
  const Answer answer = post("/v1/chat/completions", R"({
      "messages":[{"role":"user","content":"a$"}], "temperature":0.5, "top_p":0.25, "top_k":-1,
      "min_p":0.125, "repetition_penalty":1.5, "frequency_penalty":-1, "presence_penalty":2,
      "seed":-7, "n":1, "logit_bias":{"5":-100,"7":1.5}, "logprobs":true, "top_logprobs":3,
      "max_tokens":10, "max_completion_tokens":20, "min_tokens":2, "stop_token_ids":[1,2],
      "ignore_eos":false, "priority":-3, "user":"u", "store":true, "metadata":{"a":"b"},
      "service_tier":"auto", "response_format":{"type":"text"}, "tools":[], "tool_choice":"none",
      "parallel_tool_calls":true, "modalities":["text"], "stop":null})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  const Request request = engine_->last_request();
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.25);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.min_p, 0.125);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.5);
  EXPECT_EQ(request.sampling.frequency_penalty, -1);
  EXPECT_EQ(request.sampling.presence_penalty, 2);
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(-7));
  EXPECT_EQ(request.sampling.logprobs, 3);
  EXPECT_THAT(request.sampling.logit_bias,
              testing::ElementsAre(std::pair(5, -100.f), std::pair(7, 1.5f)));
  EXPECT_EQ(request.max_tokens, 20) << "max_completion_tokens wins";
  EXPECT_EQ(request.min_tokens, 2);
  EXPECT_THAT(request.stop_tokens, testing::ElementsAre(1, 2));
  EXPECT_EQ(request.priority, -3);
}

TEST_F(OpenAiTest, TruncatesPromptsOnlyWhenAsked) {
  start();
  post("/v1/completions", R"({"prompt":"abcdef","truncate_prompt_tokens":3,"max_tokens":1})");
  EXPECT_THAT(engine_->last_request().prompt, testing::ElementsAre('d', 'e', 'f'));
  const std::string long_prompt(1000, 'x');
  EXPECT_EQ(post("/v1/completions",
                 R"({"truncate_prompt_tokens":-1,"max_tokens":12,"prompt":")" + long_prompt + "\"}")
                .status,
            200);
  EXPECT_EQ(engine_->last_request().prompt.size(), 500u);
  const Answer refused = post("/v1/completions", R"({"prompt":")" + long_prompt + "\"}");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json["error"]["code"], "context_length_exceeded");
  const Answer too_many = post("/v1/completions", R"({"prompt":"abc","max_tokens":509})");
  EXPECT_EQ(too_many.status, 400);
  EXPECT_EQ(too_many.json["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(too_many.json["error"]["param"], "max_tokens");
  EXPECT_THAT(too_many.json["error"]["message"].get<std::string>(), HasSubstr("508"));
}

TEST_F(OpenAiTest, BosIsNeverDoubled) {
  start();
  post("/v1/completions", R"({"prompt":"<s>a$"})");
  EXPECT_THAT(engine_->last_request().prompt, testing::ElementsAre(test::kBos, 'a', '$'));
  post("/v1/completions", R"({"prompt":"a$","add_special_tokens":false})");
  EXPECT_THAT(engine_->last_request().prompt, testing::ElementsAre('a', '$'));
  post("/v1/chat/completions",
       R"({"messages":[{"role":"user","content":"$"}],"chat_template":"<s>"})");
  EXPECT_THAT(engine_->last_request().prompt,
              testing::ElementsAre('[', test::kBos, ']', 'u', 's', 'e', 'r', ':', '$', '|'));
}

TEST_F(OpenAiTest, PassesBansOnAsTokens) {
  start();
  const Answer answer = post("/v1/chat/completions", R"({
      "messages":[{"role":"user","content":"a$"}], "typical_p":0.5,
      "allowed_token_ids":[1,97], "bad_words":["b"," cd"]})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  const SamplingParams sampling = engine_->last_request().sampling;
  EXPECT_EQ(sampling.typical_p, 0.5);
  EXPECT_THAT(sampling.allowed_tokens, testing::ElementsAre(1, 97));
  // A space is a token of its own here, so that words with one before them are longer.
  EXPECT_THAT(sampling.bad_words,
              testing::ElementsAre(testing::ElementsAre('b'), testing::ElementsAre('c', 'd')));
}

TEST_F(OpenAiTest, PromptLogprobsHaveVllmsShape) {
  start();
  const Json expected = Json::parse(R"([null,
      {"97": {"logprob": -1, "rank": 1, "decoded_token": "a"},
       "112": {"logprob": 0, "rank": 1, "decoded_token": "p"}},
      {"98": {"logprob": -2, "rank": 2, "decoded_token": "b"},
       "112": {"logprob": 0, "rank": 1, "decoded_token": "p"}}])");
  const Answer plain =
      post("/v1/completions", R"({"prompt":"ab","max_tokens":2,"prompt_logprobs":1,"n":2})");
  ASSERT_EQ(plain.status, 200) << plain.raw.body;
  for (const int i : {0, 1}) EXPECT_EQ(plain.json["choices"][i]["prompt_logprobs"], expected);
  EXPECT_TRUE(plain.json["choices"][0]["logprobs"].is_null());
  const Answer chat = post("/v1/chat/completions", R"({"prompt_logprobs":0,"max_tokens":1,
      "messages":[{"role":"user","content":"x"}],"chat_template":"t"})");
  ASSERT_EQ(chat.status, 200) << chat.raw.body;
  EXPECT_EQ(chat.json["prompt_logprobs"].size(), 10u) << "[t]user:x|";
  EXPECT_EQ(chat.json["prompt_logprobs"][1],
            Json::parse(R"({"116": {"logprob": -1, "rank": 1, "decoded_token": "t"}})"));
  EXPECT_FALSE(
      post("/v1/completions", R"({"prompt":"ab"})").json["choices"][0].contains("prompt_logprobs"));
}

TEST_F(OpenAiTest, EchoWithLogprobsCoversThePrompt) {
  start();
  const Json expected = Json::parse(R"({
      "tokens": ["<s>", "é"], "token_logprobs": [null, -1],
      "top_logprobs": [null, {"p": 0, "a": -1}], "text_offset": [0, 0]})");
  const Answer whole =
      post("/v1/completions", R"({"prompt":"ab","max_tokens":2,"logprobs":1,"echo":true})");
  ASSERT_EQ(whole.status, 200) << whole.raw.body;
  EXPECT_EQ(whole.json["choices"][0]["text"], "abab");
  const Json logprobs = Json::parse(R"({
      "tokens": ["<s>", "a", "b", "a", "b"], "token_logprobs": [null, -1, -2, -0.5, -0.5],
      "top_logprobs": [null, {"p": 0, "a": -1}, {"p": 0, "b": -2}, {"a": -0.5}, {"b": -0.5}],
      "text_offset": [0, 0, 1, 2, 3]})");
  EXPECT_EQ(whole.json["choices"][0]["logprobs"], logprobs);
  const Events events = stream("/v1/completions", R"({"prompt":"ab","max_tokens":2,"logprobs":1,
      "echo":true,"stream":true})");
  EXPECT_EQ(events.text(), "abab");
  std::map<std::string, Json> streamed;
  for (const Json& chunk : events.chunks) {
    const Json& entry = chunk["choices"][0]["logprobs"];
    for (const auto& [key, values] : entry.items()) {
      for (const Json& value : values) streamed[key].push_back(value);
    }
  }
  EXPECT_EQ(Json(streamed), logprobs);
}

TEST_F(OpenAiTest, OnlyThePromptIsScoredWhenNothingIsToBeGenerated) {
  start();
  const Answer answer =
      post("/v1/completions", R"({"prompt":"a$","max_tokens":0,"logprobs":0,"echo":true})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  const Json& choice = answer.json["choices"][0];
  EXPECT_EQ(choice["text"], "a$");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["logprobs"]["tokens"], Json::parse(R"(["<s>", "a", "$"])"));
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], Json::parse("[null, -1, -2]"));
  EXPECT_EQ(answer.json["usage"]["completion_tokens"], 0);
  const Events events =
      stream("/v1/completions", R"({"prompt":"ab","max_tokens":0,"echo":true,"stream":true})");
  EXPECT_EQ(events.text(), "ab");
  EXPECT_EQ(events.finish(), "length");
}

TEST_F(OpenAiTest, BestOfGivesTheChoicesWithTheHighestMeanLogprob) {
  start();
  const Answer answer = post("/v1/completions", R"({"prompt":["azzb","czd"],"max_tokens":2,
      "n":2,"best_of":4,"logprobs":0})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  std::vector<std::string> texts;
  for (const Json& choice : answer.json["choices"]) {
    EXPECT_EQ(choice["index"], texts.size());
    EXPECT_EQ(choice["logprobs"]["tokens"].size(), 2u);
    texts.push_back(choice["text"]);
  }
  EXPECT_THAT(texts, testing::ElementsAre("zz", "az", "cz", "zd"));
  EXPECT_EQ(answer.json["usage"]["completion_tokens"], 16) << "all candidates were generated";
  const Answer plain = post("/v1/completions", R"({"prompt":"ab","max_tokens":1,"best_of":2})");
  EXPECT_EQ(plain.json["choices"].size(), 1u);
  EXPECT_TRUE(plain.json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(engine_->last_request().sampling.logprobs, 0);
}

TEST_F(OpenAiTest, ConcurrentStreamsEqualWhatEachReturnsAlone) {
  start({.step = std::chrono::microseconds(200)});
  const auto body = [](int i, bool streamed) {
    return fmt::format(R"({{"prompt":"prompt {}, ","max_tokens":60,"n":2,"stop":["{}, p"],
                           "stream":{}}})",
                       i, i % 3, streamed);
  };
  std::vector<std::string> alone;
  for (int i = 0; i < 64; ++i) {
    const Answer answer = post("/v1/completions", body(i, false));
    ASSERT_EQ(answer.status, 200);
    alone.push_back(answer.json["choices"][0]["text"].get<std::string>() + "+" +
                    answer.json["choices"][1]["text"].get<std::string>());
  }
  std::vector<std::string> together(64);
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) {
    threads.emplace_back([&, i] {
      const Events events = stream("/v1/completions", body(i, true));
      if (events.done) together[static_cast<size_t>(i)] = events.text(0) + "+" + events.text(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(together, alone);
}

TEST(ParseChat, KeepsTheClientsOrderOfKeys) {
  const auto chat = api::parse_chat(R"({"messages":[{"role":"user","name":"n","content":"c"}],
      "chat_template_kwargs":{"z":1,"a":2}})",
                                    {});
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->messages.dump(), R"([{"role":"user","name":"n","content":"c"}])");
  EXPECT_EQ(chat->template_args.dump(), R"({"z":1,"a":2})");
}

}  // namespace
}  // namespace brisk
