#include "plan/load/load_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/json.h"
#include "plan/load/server_probe.h"
#include "tests/plan/load/fake_openai.h"

namespace brisk {
namespace {

using test::FakeAnswer;
using test::FakeOpenAi;
using test::FakeRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

LoadRunOptions options_for(const FakeOpenAi& server) {
  LoadRunOptions options;
  options.target = {.host = "127.0.0.1", .port = server.port(), .prefix = "", .api_key = "key"};
  options.model = "fake";
  options.alphabet = PromptAlphabet::ids_below(1000);
  options.concurrency_max = 2;
  options.timeout_s = 20;
  return options;
}

Workload closed_loop(int64_t requests) {
  return make_workload({.requests = requests, .prompt = {8, 8}, .output = {4, 4}, .trace = {}});
}

LoadReport run(const LoadRunOptions& options, const Workload& workload) {
  absl::StatusOr<LoadReport> report = run_load(options, workload, nullptr);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : LoadReport{};
}

// A busy machine makes everything later, never earlier: what is measured is at least what the
// server waited, and the least of several is close to it.
constexpr double kSlack = 0.03;

TEST(LoadRun, MeasuresTheDelaysThatTheServerMakes) {
  FakeOpenAi server([](int, const FakeRequest&) {
    return FakeAnswer{.first_s = 0.08, .gap_s = 0.02, .tokens = 6};
  });
  const LoadReport report = run(options_for(server), closed_loop(8));
  EXPECT_EQ(report.served, 8);
  EXPECT_EQ(report.failed, 0);
  EXPECT_EQ(report.output_tokens, 48);
  EXPECT_EQ(report.prompt_tokens, 56) << "as the server's usage says";
  EXPECT_EQ(report.cached_tokens, 24);
  EXPECT_EQ(report.itl.count, 40);
  EXPECT_EQ(report.record.in_flight_max, 2);
  double ttft_min = 1e9, e2e_min = 1e9;
  for (const RequestResult& result : report.record.results) {
    EXPECT_GE(result.ttft_s, 0.08);
    EXPECT_GE(result.e2e_s, 0.18);
    ttft_min = std::min(ttft_min, result.ttft_s);
    e2e_min = std::min(e2e_min, result.e2e_s);
  }
  EXPECT_LT(ttft_min, 0.08 + kSlack);
  EXPECT_NEAR(report.tpot.median, 0.02, 0.01);
  EXPECT_LT(e2e_min, 0.18 + kSlack);
  EXPECT_NEAR(report.itl.median, 0.02, 0.01);
  int64_t outputs = 0;
  for (const int64_t each : report.record.timeline) outputs += each;
  EXPECT_EQ(outputs, 48);
}

TEST(LoadRun, KeepsConnectionsAndBringsThemBackWhenTheServerClosesThem) {
  FakeOpenAi kept([](int, const FakeRequest&) { return FakeAnswer{}; });
  EXPECT_EQ(run(options_for(kept), closed_loop(20)).served, 20);
  EXPECT_LE(kept.connections(), 3) << "two, and the one that looks for the server";
  FakeOpenAi closing([](int, const FakeRequest&) { return FakeAnswer{.close = true}; });
  EXPECT_EQ(run(options_for(closing), closed_loop(20)).served, 20);
  EXPECT_GE(closing.connections(), 20);
}

TEST(LoadRun, CountsAnOpenLoopFromTheScheduledArrival) {
  FakeOpenAi server(
      [](int, const FakeRequest&) { return FakeAnswer{.first_s = 0.1, .tokens = 1}; });
  Workload workload = closed_loop(5);
  workload.open_loop = true;
  LoadRunOptions options = options_for(server);
  options.concurrency_max = 1;
  const LoadReport report = run(options, workload);  // all arrive at 0, one is served at a time
  ASSERT_EQ(report.served, 5);
  for (size_t i = 0; i < 5; ++i) {
    const double served_s = 0.1 * static_cast<double>(i + 1);
    EXPECT_GE(report.record.results[i].ttft_s, served_s);
    EXPECT_GE(report.record.results[i].wait_s, served_s - 0.1);
  }
  EXPECT_EQ(report.tpot.count, 0) << "one token has no time per further token";
}

TEST(LoadRun, SendsAnOpenLoopAtItsTimesHoweverSlowTheServer) {
  FakeOpenAi server(
      [](int, const FakeRequest&) { return FakeAnswer{.first_s = 0.3, .tokens = 1}; });
  Workload workload = closed_loop(10);
  workload.open_loop = true;
  for (size_t i = 0; i < 10; ++i) workload.requests[i].at_s = 0.01 * static_cast<double>(i);
  LoadRunOptions options = options_for(server);
  options.concurrency_max = 100;
  const LoadReport report = run(options, workload);
  EXPECT_EQ(report.served, 10);
  EXPECT_EQ(report.record.in_flight_max, 10);
  EXPECT_LT(report.duration_s, 2) << "one after the other would take three seconds";
}

TEST(LoadRun, TellsRefusalsFromFailures) {
  FakeOpenAi server([](int index, const FakeRequest&) {
    FakeAnswer answer;
    if (index % 5 == 1) answer = {.status = 429, .first_s = 0.02};
    if (index % 5 == 2)
      answer = {.status = 400, .body = R"({"error":{"message":"too\u001blong"}})"};
    if (index % 5 == 3) answer = {.status = 500, .body = "<html>\x1b[31mbroken", .close = true};
    return answer;
  });
  LoadRunOptions options = options_for(server);
  options.concurrency_max = 1;
  const LoadReport report = run(options, closed_loop(10));
  EXPECT_EQ(report.served, 4);
  EXPECT_EQ(report.refused, 2);
  EXPECT_EQ(report.failed, 4);
  EXPECT_EQ(report.refusal.count, 2);
  EXPECT_GE(report.refusal.median, 0.02);
  EXPECT_DOUBLE_EQ(report.goodput_fraction, 0.4);
  EXPECT_THAT(report.record.errors,
              ElementsAre(Pair("HTTP 400: too\\u001blong", 2),
                          Pair(testing::MatchesRegex("HTTP 500: <html>.x1[bB].31mbroken"), 2)));
}

TEST(LoadRun, NoticesStreamsThatBreak) {
  FakeOpenAi server([](int index, const FakeRequest&) {
    FakeAnswer answer;
    if (index == 0) answer.break_after = 0;
    if (index == 1) answer.break_after = 2;
    if (index == 4) answer.error_after = "out of memory";
    if (index == 2) answer.done = false;
    if (index == 3) answer.tokens = 0;
    return answer;
  });
  LoadRunOptions options = options_for(server);
  options.concurrency_max = 1;
  const LoadReport report = run(options, closed_loop(6));
  EXPECT_EQ(report.served, 1);
  EXPECT_THAT(
      report.record.errors,
      ElementsAre(Pair("the server closed the connection in the middle of its answer", 1),
                  Pair("the server closed the connection without an answer", 1),
                  Pair("the stream ended with an error: out of memory", 1),
                  Pair("the stream ended without [DONE]", 1), Pair("the stream had no output", 1)));
}

TEST(LoadRun, GivesUpOnAServerThatSaysNothing) {
  FakeOpenAi server([](int index, const FakeRequest&) { return FakeAnswer{.silent = index == 0}; });
  LoadRunOptions options = options_for(server);
  options.timeout_s = 1;
  const LoadReport report = run(options, closed_loop(3));
  EXPECT_EQ(report.served, 2);
  EXPECT_THAT(report.record.errors, ElementsAre(Pair("no end within 1 s", 1)));
}

TEST(LoadRun, CountsEventsThatArriveTogether) {
  FakeOpenAi server([](int, const FakeRequest&) {
    return FakeAnswer{.gap_s = 0.1, .tokens = 9, .tokens_per_write = 3};
  });
  const LoadReport report = run(options_for(server), closed_loop(2));
  EXPECT_EQ(report.itl.count, 16);
  EXPECT_LT(report.itl.median, 0.05) << "two of three gaps are none";
  EXPECT_GE(report.itl.max, 0.05) << "less than the gap when this process had to wait";
}

TEST(LoadRun, AsksForExactLengthsAndSendsTheKey) {
  FakeOpenAi server([](int, const FakeRequest&) { return FakeAnswer{}; });
  run(options_for(server), closed_loop(1));
  const FakeRequest request = server.requests().at(0);
  EXPECT_EQ(request.path, "/v1/completions");
  EXPECT_THAT(request.head, HasSubstr("authorization: Bearer key\r\n"));
  const Json body = Json::parse(request.body);
  EXPECT_EQ(body["model"], "fake");
  EXPECT_EQ(body["prompt"].size(), 8);
  EXPECT_EQ(body["max_tokens"], 4);
  EXPECT_EQ(body["ignore_eos"], true);
  EXPECT_EQ(body["stream_options"]["include_usage"], true);
}

TEST(LoadRun, ChatTakesWords) {
  FakeOpenAi server([](int, const FakeRequest&) { return FakeAnswer{}; });
  LoadRunOptions options = options_for(server);
  options.endpoint = LoadEndpoint::kChat;
  options.alphabet = PromptAlphabet::of_words();
  EXPECT_EQ(run(options, closed_loop(1)).served, 1);
  const FakeRequest request = server.requests().at(0);
  EXPECT_EQ(request.path, "/v1/chat/completions");
  const std::string content = Json::parse(request.body)["messages"][0]["content"];
  EXPECT_EQ(std::count(content.begin(), content.end(), ' '), 7);
}

TEST(LoadRun, WarmsUpWithOtherPromptsThatAreNotCounted) {
  FakeOpenAi server([](int, const FakeRequest&) { return FakeAnswer{}; });
  LoadRunOptions options = options_for(server);
  options.warmup = 3;
  EXPECT_EQ(run(options, closed_loop(5)).served, 5);
  std::set<std::string> bodies;
  for (const FakeRequest& request : server.requests()) bodies.insert(request.body);
  EXPECT_EQ(bodies.size(), 8);
}

TEST(LoadRun, NoServerIsAnError) {
  LoadRunOptions options;
  options.target = {.host = "127.0.0.1", .port = 1, .prefix = "", .api_key = ""};
  EXPECT_EQ(run_load(options, closed_loop(1), nullptr).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(ServerProbe, LearnsTheModelAndItsIds) {
  FakeOpenAi server([](int, const FakeRequest& request) {
    FakeAnswer answer = {.status = 404};
    if (request.path == "/llm/v1/models") {
      answer = {.body = R"({"data":[{"id":"a"},{"id":"b"}]})", .plain = true};
    } else if (request.path == "/llm/tokenize") {
      Json ids = Json::array();
      for (int id = 0; id < 30; ++id) ids.push_back(id);
      answer = {.body = Json{{"tokens", ids}}.dump(), .plain = true};
    }
    return answer;
  });
  const LoadTarget target = {
      .host = "127.0.0.1", .port = server.port(), .prefix = "/llm", .api_key = ""};
  EXPECT_EQ(*first_model(target), "a");
  const auto alphabet = learn_ids(target, "a");
  ASSERT_TRUE(alphabet.has_value());
  std::string prompt;
  alphabet->append(prompt, {{.content = 1, .tokens = 1000}}, 0);
  std::set<int> ids;
  for (const Json& id : Json::parse(prompt)) ids.insert(id.get<int>());
  EXPECT_EQ(ids.size(), 26) << "all but the first, which are special";
}

TEST(ServerProbe, AServerWithoutTokenizeTeachesNothing) {
  FakeOpenAi server([](int, const FakeRequest&) { return FakeAnswer{.status = 404}; });
  const LoadTarget target = {
      .host = "127.0.0.1", .port = server.port(), .prefix = "", .api_key = ""};
  EXPECT_FALSE(learn_ids(target, "a").has_value());
  EXPECT_THAT(first_model(target).status().ToString(), HasSubstr("answers 404: no"));
}

}  // namespace
}  // namespace brisk
