// OpenAI's endpoints in operation: crowds, tenants, drains, clients that leave, health and metrics.
#include <thread>

#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;
using test::RawClient;
using testing::HasSubstr;
using testing::Not;

class OpenAiOperationTest : public test::ApiTest {};

TEST_F(OpenAiOperationTest, ACrowdedEngineIsA429WithRetryAfter) {
  start({.queue_max = 1});
  engine_->set_stuck(true);
  RawClient first = client();
  first.post("/v1/completions", R"({"prompt":"ab$"})");
  for (int i = 0; i < 500 && engine_->submitted() == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const Answer refused = post("/v1/completions", R"({"prompt":"ab$","stream":true})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.json["error"]["type"], "rate_limit_error");
  EXPECT_EQ(refused.raw.header("retry-after"), "1");
  engine_->set_stuck(false);
  EXPECT_EQ(to_answer(first.read_response()).json["choices"][0]["text"], "ab");
  ASSERT_TRUE(engine_->idle_within(5));
  engine_->set_stuck(true);
  EXPECT_EQ(post("/v1/completions", R"({"prompt":["a$","b$"]})").status, 429)
      << "all or nothing: the second does not fit";
  EXPECT_TRUE(engine_->idle_within(5));
}

TEST_F(OpenAiOperationTest, SaltsAndUsersReachTheEngine) {
  start();
  const auto request_of = [&](const char* body) {
    EXPECT_EQ(post("/v1/completions", body).status, 200);
    return engine_->last_request();
  };
  const Request plain = request_of(R"({"prompt":"a$"})");
  const Request salted = request_of(R"({"prompt":"a$","cache_salt":"s"})");
  EXPECT_EQ(plain.cache_salt, 0u);
  EXPECT_NE(salted.cache_salt, 0u);
  EXPECT_EQ(request_of(R"({"prompt":"a$","cache_salt":"s"})").cache_salt, salted.cache_salt);
  EXPECT_NE(request_of(R"({"prompt":"a$","cache_salt":"t"})").cache_salt, salted.cache_salt);
  const Request of_ann = request_of(R"({"prompt":"a$","user":"ann"})");
  EXPECT_EQ(plain.tenant.id, 0);
  EXPECT_NE(of_ann.tenant.id, 0);
  EXPECT_EQ(request_of(R"({"prompt":"a$","user":"ann"})").tenant.id, of_ann.tenant.id);
  EXPECT_NE(request_of(R"({"prompt":"a$","user":"bob"})").tenant.id, of_ann.tenant.id);
}

TEST_F(OpenAiOperationTest, EachOfSeveralKeysIsATenantWithItsWeight) {
  keys_ = {{.key = "alice", .weight = 3}, {.key = "bob"}};
  start();
  const auto tenant_with = [&](const char* header, int status) {
    RawClient raw = client();
    raw.post("/v1/completions", R"({"prompt":"a$","user":"x"})", header);
    EXPECT_EQ(raw.read_response().status, status);
    return engine_->last_request().tenant;
  };
  EXPECT_EQ(tenant_with("Authorization: Bearer alice\r\n", 200).weight, 3);
  EXPECT_EQ(tenant_with("Authorization: Bearer alice\r\n", 200).id, 0);
  EXPECT_EQ(tenant_with("x-api-key: bob\r\n", 200).weight, 1);
  EXPECT_EQ(tenant_with("x-api-key: bob\r\n", 200).id, 1);
  tenant_with("x-api-key: eve\r\n", 401);
  tenant_with("", 401);
}

TEST_F(OpenAiOperationTest, RetryAfterIsWhatTheEnginePredicts) {
  start();
  engine_->refuse_with(with_retry_after(exhausted("too late"), 3.2));
  const Answer refused = post("/v1/completions", R"({"prompt":"ab$"})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.raw.header("retry-after"), "4");
}

TEST_F(OpenAiOperationTest, AStuckStepShowsInHealth) {
  start();
  EXPECT_EQ(get("/health").status, 200);
  engine_->set_stuck_seconds(70);
  const Answer health = get("/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_THAT(health.raw.body, testing::HasSubstr("70 s"));
}

TEST_F(OpenAiOperationTest, ADrainFinishesStreamsAndRefusesNewRequests) {
  start({.step = std::chrono::milliseconds(2)});
  RawClient running = client();
  running.post("/v1/completions", R"({"prompt":"ab","max_tokens":100,"stream":true})");
  ASSERT_TRUE(running.read_until("\"text\""));
  RawClient idle = client();
  idle.get("/health");
  EXPECT_EQ(idle.read_response().status, 200);
  RawClient other = client();
  other.get("/health");
  EXPECT_EQ(other.read_response().status, 200);
  service_->begin_drain();
  server_->begin_drain();
  std::thread drain([this] { engine_->drain(20); });
  idle.get("/health");
  EXPECT_EQ(idle.read_response().status, 503);
  for (int i = 0; i < 100; ++i) {  // until the engine has heard of it
    Request probe;
    probe.prompt = {'$'};
    if (!engine_->submit(std::move(probe), nullptr).ok()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  other.post("/v1/completions", R"({"prompt":"a"})");
  const Answer refused = to_answer(other.read_response());
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json["error"]["type"], "unavailable_error");
  EXPECT_TRUE(running.read_until("[DONE]")) << "a running stream ends properly";
  drain.join();
  EXPECT_TRUE(server_->wait_idle(5));
}

TEST_F(OpenAiOperationTest, ADrainThatTakesTooLongCancels) {
  start();
  engine_->set_stuck(true);
  RawClient running = client();
  running.post("/v1/completions", R"({"prompt":"ab","max_tokens":100,"stream":true})");
  RawClient whole = client();
  whole.post("/v1/completions", R"({"prompt":"ab","max_tokens":100})");
  for (int i = 0; i < 500 && engine_->submitted() < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  engine_->drain(0.1);
  const Events events = parse_events(running.read_response());
  EXPECT_FALSE(events.done);
  EXPECT_EQ(events.chunks.back()["error"]["type"], "unavailable_error");
  EXPECT_EQ(whole.read_response().status, 503);
}

TEST_F(OpenAiOperationTest, ClientsThatLeaveCancelTheirRequests) {
  start({.step = std::chrono::milliseconds(1)});
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(client());
    clients.back().post("/v1/completions", i % 2 == 0
                                               ? R"({"prompt":"ab","max_tokens":500,"stream":true})"
                                               : R"({"prompt":"ab","max_tokens":500})");
  }
  while (engine_->submitted() < 20) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  engine_->set_stuck(true);  // queued ones are cancelled too
  for (RawClient& each : clients) each.reset();
  EXPECT_TRUE(engine_->idle_within(5));
  EXPECT_THAT(get("/metrics").raw.body, HasSubstr("finished_reason=\"abort\"} 20"));
}

TEST_F(OpenAiOperationTest, TokenizesAndBack) {
  start();
  const Answer tokens =
      post("/tokenize", R"({"model":"alias","prompt":"ab<end>","return_token_strs":true})");
  EXPECT_EQ(tokens.json, Json::parse(R"({"count": 4, "max_model_len": 512,
      "tokens": [256, 97, 98, 257], "token_strs": ["<s>", "a", "b", "<end>"]})"));
  EXPECT_EQ(post("/tokenize", R"({"prompt":"a","add_special_tokens":false})").json["tokens"],
            Json::parse("[97]"));
  EXPECT_EQ(post("/tokenize", R"({"messages":[{"role":"user","content":"a"}]})").json["count"], 7);
  EXPECT_EQ(post("/detokenize", R"({"tokens":[256,97,98,257]})").json["prompt"], "<s>ab<end>");
  EXPECT_EQ(post("/detokenize", R"({"tokens":[999]})").status, 400);
  EXPECT_EQ(post("/tokenize", R"({"prompt":7})").status, 400);
  EXPECT_EQ(
      post("/apply-template", R"({"messages":[{"role":"user","content":"a"}]})").json["prompt"],
      "user:a|");
}

TEST_F(OpenAiOperationTest, TellsVersionAndHealth) {
  start();
  EXPECT_TRUE(get("/version").json["version"].is_string());
  EXPECT_EQ(get("/health").status, 200);
  service_->begin_drain();
  EXPECT_EQ(get("/health").status, 503);
}

TEST_F(OpenAiOperationTest, MetricsCountWhatHappened) {
  start();
  RawClient one = client();  // one connection: each is counted before the next is read
  one.post("/v1/completions", R"({"prompt":"ab$"})");
  one.read_response();
  one.post("/v1/completions", R"({"prompt":"ab","max_tokens":5,"n":2})");
  one.read_response();
  one.get("/nothing");
  one.read_response();
  one.get("/metrics");
  const std::string text = one.read_response().body;
  EXPECT_THAT(text, HasSubstr("brisk:request_success_total{model_name=\"org/fake\","
                              "finished_reason=\"stop\"} 1"));
  EXPECT_THAT(text, HasSubstr("finished_reason=\"length\"} 2"));
  EXPECT_THAT(text, HasSubstr("brisk:generation_tokens_total{model_name=\"org/fake\"} 13"));
  EXPECT_THAT(text, HasSubstr("brisk:kv_cache_usage_perc{model_name=\"org/fake\"} 0"));
  EXPECT_THAT(text, HasSubstr("brisk:time_to_first_token_seconds_count"));
  EXPECT_THAT(text, HasSubstr("brisk:request_prompt_tokens_sum{model_name=\"org/fake\"} 7"));
  EXPECT_THAT(text, HasSubstr("handler=\"/v1/completions\",method=\"POST\",status=\"200\"} 2"));
  EXPECT_THAT(text, HasSubstr("handler=\"none\",method=\"GET\",status=\"404\"} 1"));
  EXPECT_THAT(text, Not(HasSubstr("vllm:")));
  start({}, {}, {}, true);
  EXPECT_THAT(get("/metrics").raw.body, HasSubstr("vllm:num_requests_running"));
}

}  // namespace
}  // namespace brisk
