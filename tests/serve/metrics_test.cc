// Every histogram of /metrics against what a client measures with its own clock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <sstream>
#include <thread>

#include "tests/serve/api_fixture.h"
#include "tests/support/runner_in_front.h"
#include "tests/support/small_model.h"

namespace brisk {
namespace {

using test::RawClient;
using Seconds = std::chrono::duration<double>;

constexpr double kStepSeconds = 0.03;

// A model whose steps take a known time, longer than anything else.
class SlowRunner final : public RunnerInFront {
 public:
  using RunnerInFront::RunnerInFront;
  absl::StatusOr<MatView> run(const StepPlan& plan) override {
    std::this_thread::sleep_for(Seconds(kStepSeconds));
    return RunnerInFront::run(plan);
  }
};

// What one client saw of one stream, in seconds.
struct Seen {
  double first_token = 0;
  double whole = 0;
  int gaps = 0;
  double gaps_sum = 0;
};

class MetricsTest : public test::ApiTest {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.threads = 1;
    options.kv_tokens = 1024;
    options.sequences_max = 2;  // a third request waits
    options.prefix_cache = false;
    options.wrap_runner = [](std::unique_ptr<StepRunner> real) {
      return std::make_unique<SlowRunner>(std::move(real));
    };
    engine_of_ = Engine::create(small_.model, options).value();
    api::ServedModel served;
    served.engine = engine_of_;
    served.tokenizer = engine_of_->model().tokenizer.get();
    ASSERT_NE(served.tokenizer, nullptr);
    served.names = {"m"};
    serve(std::move(served), {}, false);
  }

  void TearDown() override {
    test::ApiTest::TearDown();
    engine_of_.reset();
  }

  Seen stream(int prompt_tokens, int tokens) const {
    std::string prompt = "1";
    for (int i = 1; i < prompt_tokens; ++i) prompt += ",1";
    RawClient raw = client();
    const auto begin = std::chrono::steady_clock::now();
    const auto since_begin = [&] {
      return Seconds(std::chrono::steady_clock::now() - begin).count();
    };
    raw.post("/v1/completions",
             fmt::format(R"({{"prompt":[{}],"max_tokens":{},"ignore_eos":true,"stream":true,
                            "logprobs":0}})",
                         prompt, tokens));
    Seen seen;
    double last = 0;
    for (int i = 0; i < tokens; ++i) {
      EXPECT_TRUE(raw.read_until("token_logprobs"));
      const double now = since_begin();
      if (i == 0) seen.first_token = now;
      if (i > 0) {
        ++seen.gaps;
        seen.gaps_sum += now - last;
      }
      last = now;
    }
    EXPECT_TRUE(raw.read_until("[DONE]"));
    seen.whole = since_begin();
    return seen;
  }

  // "name_sum", "name_count", counters and gauges, without labels.
  std::map<std::string, double> metrics() const {
    std::map<std::string, double> values;
    std::istringstream lines(get("/metrics").raw.body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('#') || line.find("_bucket") != std::string::npos) continue;
      values[line.substr(0, line.find('{'))] += std::stod(line.substr(line.rfind(' ')));
    }
    return values;
  }

  const SmallModel small_ = small_model(BRISK_SOURCE_DIR "/fuzz/corpus/gguf/llama", 128);
  std::shared_ptr<Engine> engine_of_;
};

TEST_F(MetricsTest, HistogramsSayWhatClientsSee) {
  const std::pair<int, int> requests[] = {{3, 5}, {20, 8}, {7, 1}};  // prompt, generated
  std::vector<Seen> seen(std::size(requests));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < std::size(requests); ++i) {
    threads.emplace_back([&, i] { seen[i] = stream(requests[i].first, requests[i].second); });
    std::this_thread::sleep_for(Seconds(kStepSeconds / 3));
  }
  for (std::thread& thread : threads) thread.join();
  const auto now = metrics();

  double first_token = 0, whole = 0, gaps = 0;
  int gap_count = 0;
  for (const Seen& one : seen) {
    first_token += one.first_token;
    whole += one.whole;
    gaps += one.gaps_sum;
    gap_count += one.gaps;
  }
  // A client's clock starts before the server's and stops after it, by much less than a step.
  const auto expect_seconds = [&](const char* name, double client, int requests_counted) {
    const double sum = now.at(fmt::format("brisk:{}_sum", name));
    EXPECT_EQ(now.at(fmt::format("brisk:{}_count", name)), requests_counted) << name;
    EXPECT_LE(sum, client + 0.02) << name;
    EXPECT_GE(sum, client - 0.03 * requests_counted) << name;
  };
  expect_seconds("time_to_first_token_seconds", first_token, 3);
  expect_seconds("e2e_request_latency_seconds", whole, 3);
  EXPECT_EQ(now.at("brisk:inter_token_latency_seconds_count"), gap_count);
  EXPECT_NEAR(now.at("brisk:inter_token_latency_seconds_sum"), gaps, 0.05);
  // Waiting and the prompt's steps make the first token, generating makes the rest.
  const double queue = now.at("brisk:request_queue_time_seconds_sum");
  const double prefill = now.at("brisk:request_prefill_time_seconds_sum");
  const double decode = now.at("brisk:request_decode_time_seconds_sum");
  EXPECT_NEAR(queue + prefill, now.at("brisk:time_to_first_token_seconds_sum"), 1e-3);
  EXPECT_NEAR(queue + prefill + decode, now.at("brisk:e2e_request_latency_seconds_sum"), 0.03);
  EXPECT_GT(queue, kStepSeconds) << "the third waited for a place";
  EXPECT_GE(prefill, 3 * kStepSeconds);
  EXPECT_GE(decode, 11 * kStepSeconds);
  // Per output token: two requests have more than one.
  EXPECT_EQ(now.at("brisk:request_time_per_output_token_seconds_count"), 2);
  EXPECT_NEAR(now.at("brisk:request_time_per_output_token_seconds_sum"),
              seen[0].gaps_sum / 4 + seen[1].gaps_sum / 7, 0.02);
}

TEST_F(MetricsTest, TimePerTokenIsThatOfOneChoice) {
  const test::Answer answer =
      post("/v1/completions", R"({"prompt":[1,1],"max_tokens":6,"n":2,"ignore_eos":true})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_NEAR(metrics().at("brisk:request_time_per_output_token_seconds_sum"), kStepSeconds, 0.01);
}

TEST_F(MetricsTest, CountsAreExact) {
  stream(3, 5);
  stream(20, 8);
  const auto now = metrics();
  EXPECT_EQ(now.at("brisk:request_prompt_tokens_sum"), 23);
  EXPECT_EQ(now.at("brisk:request_generation_tokens_sum"), 13);
  EXPECT_EQ(now.at("brisk:prompt_tokens_total"), 23);
  EXPECT_EQ(now.at("brisk:generation_tokens_total"), 13);
  EXPECT_EQ(now.at("brisk:request_success_total"), 2);
  // A prompt's step draws the first token; every further token is a step of one.
  EXPECT_EQ(now.at("brisk:iteration_tokens_total_count"), 13);
  EXPECT_EQ(now.at("brisk:iteration_tokens_total_sum"), 3 + 4 + 20 + 7);
  EXPECT_EQ(now.at("brisk:num_requests_running"), 0);
  EXPECT_EQ(now.at("brisk:num_requests_waiting"), 0);
  EXPECT_EQ(now.at("brisk:num_requests_paused"), 0);
  EXPECT_EQ(now.at("brisk:kv_cache_usage_perc"), 0);
}

}  // namespace
}  // namespace brisk
