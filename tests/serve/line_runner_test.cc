// Lines of batches over handlers that do as they are told, on a clock that moves when it is told.
#include "serve/batch/line_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <utility>

#include "base/json.h"
#include "serve/api/errors.h"

namespace brisk::batch {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kNever = 1 << 30;

// The model "one that works" answers; others refuse as they are told, at once or after a poll.
struct Script {
  struct Refusal {
    int status = 200;
    int64_t times = kNever;
    bool runs_first = false;
  };
  std::map<std::string, Refusal> refusals;  // by model
  std::map<std::string, int> asked;         // custom ids of lines
  int running = 0;
  int running_max = 0;
  bool hangs = false;  // what has begun does not end
};

class ScriptedAnswer final : public http::PendingResponse {
 public:
  ScriptedAnswer(Script& script, int status) : script_(script), status_(status) {
    script_.running_max = std::max(script_.running_max, ++script_.running);
  }
  ~ScriptedAnswer() override { --script_.running; }

  std::optional<http::Response> poll() override {
    if (script_.hangs) return std::nullopt;
    http::Response response;
    response.status = status_;
    response.body = "{}";
    return response;
  }

 private:
  Script& script_;
  const int status_;
};

http::Reply answer_by(Script& script, const http::Request& request) {
  const Json body = Json::parse(request.body);
  ++script.asked[body["id"]];
  Script::Refusal& refusal = script.refusals[body["model"]];
  const bool refuses = refusal.times > 0 && refusal.status != 200;
  if (refuses) --refusal.times;
  if (!refuses || refusal.runs_first) {
    return std::make_unique<ScriptedAnswer>(script, refuses ? refusal.status : 200);
  }
  http::Response response;
  response.status = refusal.status;
  response.body = "{}";
  return response;
}

// Lines of batches in turn, "BATCH:MODEL".
class Lines final : public LineSource {
 public:
  void add(const std::string& batch, const std::string& model, int count = 1) {
    for (int i = 0; i < count; ++i) {
      const int64_t line = begun_[batch]++;
      const std::string id = batch + std::to_string(line);
      const Json body = {{"id", id}, {"model", model}};
      lines_.push_back(
          {.batch = batch,
           .line = line,
           .input = {.custom_id = id, .url = "/v1/completions", .body = to_text(body)}});
    }
  }

  std::optional<LineWork> next(const Admits& admits) override {
    const auto found =
        std::ranges::find_if(lines_, [&](const LineWork& work) { return admits(work.batch); });
    if (found == lines_.end()) return std::nullopt;
    LineWork work = std::move(*found);
    lines_.erase(found);
    return work;
  }
  bool is_wanted(const LineWork& work) const override { return work.batch != unwanted; }
  void put(std::vector<LineResult> results) override {
    for (const LineResult& result : results) {
      const Json json = Json::parse(result.text);
      statuses[json["custom_id"]] = json["response"]["status_code"];
    }
  }

  std::string unwanted;
  std::map<std::string, int> statuses;  // by custom id, of lines that have a result

 private:
  std::deque<LineWork> lines_;
  std::map<std::string, int64_t> begun_;
};

class LineRunnerTest : public testing::Test {
 protected:
  static constexpr int kWidth = 16;

  std::vector<http::Route> routes() {
    return {{"POST", "/v1/completions", http::Access::kNeedsKey,
             [this](const http::Request& request, const http::Wakeup&) {
               return answer_by(script_, request);
             }}};
  }

  // What happens without the clock moving; each step begins lines and ends others.
  void settle(int steps = 100) {
    for (int i = 0; i < steps; ++i) runner_.step(lines_, 0);
  }
  void pass(double seconds) {
    constexpr double kTick = 0.125;
    for (double passed = 0; passed < seconds; passed += kTick) {
      clock_.advance(kTick);
      settle(2);
    }
  }

  Script script_;
  Lines lines_;
  ManualClock clock_;
  LineRunner runner_{routes(), kWidth, clock_};
};

TEST_F(LineRunnerTest, AnswersAsManyAtOnceAsItIsWide) {
  lines_.add("a", "fine", 50);
  script_.hangs = true;
  settle();
  EXPECT_EQ(script_.running, kWidth);
  script_.hangs = false;
  settle();
  EXPECT_EQ(lines_.statuses.size(), 50u);
  EXPECT_EQ(script_.running_max, kWidth);
  EXPECT_TRUE(runner_.idle());
}

TEST_F(LineRunnerTest, ALineThatIsRefusedHoldsUpNoOther) {
  script_.refusals["broken"] = {.status = 503};
  lines_.add("a", "broken");
  lines_.add("a", "fine", 20);
  lines_.add("b", "fine", 20);
  settle();
  EXPECT_EQ(lines_.statuses.size(), 40u) << "in no time";
  EXPECT_EQ(script_.asked["a0"], 1);
  EXPECT_TRUE(runner_.is_running("a"));
  EXPECT_FALSE(runner_.is_running("b"));
}

TEST_F(LineRunnerTest, TriesAgainAfterPausesThatGrow) {
  script_.refusals["broken"] = {.status = 503, .times = 4};
  lines_.add("a", "broken");
  std::vector<int> tries;
  for (const double seconds : {0.0, 0.125, 0.125, 0.25, 0.25, 0.5, 0.5, 1.0, 1.0}) {
    pass(seconds);
    settle();
    tries.push_back(script_.asked["a0"]);
  }
  EXPECT_THAT(tries, ElementsAre(1, 1, 2, 2, 3, 3, 4, 4, 5)) << "after 0.25, 0.5, 1 and 2 s";
  EXPECT_EQ(lines_.statuses["a0"], 200);
}

TEST_F(LineRunnerTest, WhatStaysUnavailableIsGivenUpWithTheRefusalAsItsResult) {
  script_.refusals["broken"] = {.status = 503};
  lines_.add("a", "broken");
  pass(60);
  EXPECT_THAT(lines_.statuses, IsEmpty());
  pass(60);
  EXPECT_EQ(lines_.statuses["a0"], 503);
  EXPECT_EQ(script_.asked["a0"], 10);
  EXPECT_TRUE(runner_.idle());
}

TEST_F(LineRunnerTest, ManyLinesOfABrokenModelEndSoonAfterTheFirst) {
  script_.refusals["broken"] = {.status = 503, .runs_first = true};
  lines_.add("a", "broken", 1000);
  lines_.add("a", "fine");
  lines_.add("b", "fine");
  settle();
  EXPECT_THAT(lines_.statuses, ElementsAre(std::pair("b0", 200))) << "its own batch waits";
  pass(120);
  EXPECT_EQ(lines_.statuses.size(), 1002u);
  EXPECT_EQ(script_.asked["a999"], 1);
  EXPECT_EQ(lines_.statuses["a999"], 503);
  EXPECT_EQ(lines_.statuses["a1000"], 200);
}

TEST_F(LineRunnerTest, AModelThatWorksAgainIsTriedAgain) {
  script_.refusals["mended"] = {.status = 503};
  lines_.add("a", "mended");
  pass(120);
  ASSERT_EQ(lines_.statuses["a0"], 503);
  script_.refusals["mended"].times = 0;
  lines_.add("a", "mended");
  settle();
  ASSERT_EQ(lines_.statuses["a1"], 200);
  script_.refusals["mended"].times = 3;
  lines_.add("a", "mended");
  pass(3);
  EXPECT_EQ(lines_.statuses["a2"], 200);
}

TEST_F(LineRunnerTest, WaitsForRoomAsLongAsItTakes) {
  script_.refusals["busy"] = {.status = 429};
  lines_.add("a", "busy");
  pass(600);
  EXPECT_THAT(lines_.statuses, IsEmpty());
  script_.refusals["busy"].times = 0;
  pass(2);
  EXPECT_EQ(lines_.statuses["a0"], 200) << "never more than 2 s late";
}

TEST_F(LineRunnerTest, WhatIsRefusedAfterItRanIsNotTriedForEver) {
  script_.refusals["odd"] = {.status = 429, .runs_first = true};
  lines_.add("a", "odd");
  pass(120);
  EXPECT_EQ(lines_.statuses["a0"], 429);
  EXPECT_EQ(script_.asked["a0"], 10);
}

TEST_F(LineRunnerTest, ABatchThatFindsNoRoomBeginsNoMoreLinesThanAFew) {
  script_.refusals["busy"] = {.status = 429};
  lines_.add("a", "busy", 100);
  pass(10);
  EXPECT_EQ(script_.asked.size(), static_cast<size_t>(kWidth / 8));
  script_.refusals["busy"].times = 0;
  pass(2);
  settle();
  EXPECT_EQ(lines_.statuses.size(), 100u);
}

TEST_F(LineRunnerTest, ForgetsWhatNobodyWants) {
  script_.refusals["busy"] = {.status = 429};
  lines_.add("a", "busy");
  lines_.add("b", "fine");
  script_.hangs = true;
  settle();
  EXPECT_TRUE(runner_.is_running("a"));
  EXPECT_TRUE(runner_.is_running("b"));
  lines_.unwanted = "a";
  settle();
  EXPECT_FALSE(runner_.is_running("a"));
  lines_.unwanted = "b";
  settle();
  EXPECT_TRUE(runner_.idle());
  EXPECT_EQ(script_.running, 0);
  EXPECT_THAT(lines_.statuses, IsEmpty());
}

TEST_F(LineRunnerTest, OtherErrorsAreResultsAtOnce) {
  script_.refusals["wrong"] = {.status = 400};
  script_.refusals["failing"] = {.status = 500, .runs_first = true};
  lines_.add("a", "wrong");
  lines_.add("a", "failing");
  settle();
  EXPECT_THAT(lines_.statuses, ElementsAre(std::pair("a0", 400), std::pair("a1", 500)));
}

}  // namespace
}  // namespace brisk::batch
