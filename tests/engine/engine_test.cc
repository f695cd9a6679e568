// The engine's promises to its callers, with a runner that fails, waits and counts on demand.
#include "engine/engine.h"

#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "base/status.h"
#include "tests/support/runner_in_front.h"
#include "tests/support/small_model.h"

namespace brisk {
namespace {

// What tests tell the runner, and what it tells them.
struct Script {
  std::atomic<int> failing_step = -1;
  std::atomic<int> steps = 0;
  std::atomic<int> step_ms = 0;
};

class ScriptedRunner final : public RunnerInFront {
 public:
  ScriptedRunner(std::unique_ptr<StepRunner> real, Script* script)
      : RunnerInFront(std::move(real)), script_(script) {}

  absl::StatusOr<MatView> run(const StepPlan& plan) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(script_->step_ms));
    if (script_->steps++ == script_->failing_step) return exhausted("no memory, as the test wants");
    return RunnerInFront::run(plan);
  }

 private:
  Script* const script_;
};

class EngineTest : public testing::Test {
 protected:
  void start(EngineOptions options) {
    options.threads = 1;
    options.kv_tokens = 64 * 16;
    options.wrap_runner = [this](std::unique_ptr<StepRunner> real) {
      return std::make_unique<ScriptedRunner>(std::move(real), &script_);
    };
    auto engine = Engine::create(small_.model, options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = std::move(*engine);
  }

  std::shared_ptr<Generation> submit(int prompt_tokens, int max_tokens, int choices = 1) {
    Request request;
    request.prompt.assign(static_cast<size_t>(prompt_tokens), 1);
    request.max_tokens = max_tokens;
    request.choices = choices;
    request.ignore_eos = true;
    return engine_->submit(std::move(request)).value();
  }

  bool eventually(const std::function<bool()>& holds) const {
    for (int i = 0; i < 2000 && !holds(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return holds();
  }

  const SmallModel small_ = small_model(BRISK_SOURCE_DIR "/fuzz/corpus/gguf/llama", 512);
  Script script_;
  std::unique_ptr<Engine> engine_;  // last: it ends first
};

// Everything there is until the end.
struct Ended {
  int tokens = 0;
  std::optional<FinishReason> finish;
};
Ended read_to_the_end(Generation& generation) {
  Ended ended;
  while (!generation.done()) {
    for (const TokenEvent& event : generation.wait_and_take()) {
      ended.tokens += event.token >= 0 ? 1 : 0;
      if (event.finish) ended.finish = event.finish;
    }
  }
  return ended;
}

TEST_F(EngineTest, AFailedStepFailsItsRequestsAndNoOther) {
  script_.failing_step = 0;
  start({});
  const auto failed = submit(4, 4);
  EXPECT_EQ(read_to_the_end(*failed).finish, FinishReason::kError);
  EXPECT_TRUE(absl::IsResourceExhausted(failed->status()));
  const auto next = submit(4, 4);
  EXPECT_EQ(read_to_the_end(*next).tokens, 4);
  EXPECT_TRUE(next->status().ok());
  EXPECT_TRUE(eventually([&] { return engine_->stats().kv_blocks_used == 0; }));
}

// The test of a client that read metrics right after its answer failed at times on a busy machine.
TEST_F(EngineTest, AnAnswerIsCountedBeforeItIsThere) {
  start({});
  for (const int choices : {1, 2}) {
    const EngineStats before = engine_->stats();
    struct Told {
      EngineStats stats;
      absl::Notification once;
    };
    const auto told = std::make_shared<Told>();  // the last event may come after its reader left
    Request request;
    request.prompt.assign(20, 1);
    request.max_tokens = 1;
    request.choices = choices;
    if (choices > 1) request.beam_search.emplace();
    request.ignore_eos = true;
    const auto tell = [this, told] {
      if (told->once.HasBeenNotified()) return;
      told->stats = engine_->stats();
      told->once.Notify();
    };
    const auto generation = engine_->submit(std::move(request), tell).value();
    EXPECT_EQ(read_to_the_end(*generation).tokens, choices);
    told->once.WaitForNotification();
    const EngineStats& at_end = told->stats;
    EXPECT_EQ(at_end.generation_tokens, before.generation_tokens + choices);
    EXPECT_EQ(at_end.steps, before.steps + 1);
    EXPECT_EQ(at_end.running, 0);
    EXPECT_EQ(at_end.kv_blocks_used, 0);
  }
}

TEST_F(EngineTest, AReaderThatDoesNotReadIsPausedAndStallsNobody) {
  start({.unread_events_max = 8});
  const auto stalled = submit(4, 100, 2);
  EXPECT_TRUE(eventually([&] { return engine_->stats().paused == 2; }));
  EXPECT_EQ(read_to_the_end(*submit(4, 50)).tokens, 50);
  EXPECT_TRUE(eventually([&] { return engine_->stats().kv_blocks_used == 0; }));
  const Ended ended = read_to_the_end(*stalled);  // it goes on where it was
  EXPECT_EQ(ended.tokens, 200);
  EXPECT_EQ(ended.finish, FinishReason::kLength);
}

TEST_F(EngineTest, PausesDoNotChangeAnAnswer) {
  std::vector<int32_t> answers[2];
  for (const int unread_max : {0, 3}) {
    start({.unread_events_max = unread_max});
    const auto generation = submit(20, 60);
    while (!generation->done()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      for (const TokenEvent& event : generation->wait_and_take()) {
        answers[unread_max > 0].push_back(event.token);
      }
    }
  }
  EXPECT_EQ(answers[0].size(), 60u);
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_F(EngineTest, AReaderThatNeverReadsIsCancelledInTheEnd) {
  start({.unread_events_max = 4, .unread_seconds_max = 0.05});
  const auto stalled = submit(4, 100);
  EXPECT_TRUE(eventually([&] { return absl::IsDeadlineExceeded(stalled->status()); }));
  const Ended ended = read_to_the_end(*stalled);
  EXPECT_EQ(ended.tokens, 4);
  EXPECT_EQ(ended.finish, FinishReason::kError);
  EXPECT_EQ(engine_->stats().paused, 0);
}

// The log-probabilities of the prompt, and the generated tokens.
struct Scored {
  std::vector<PromptLogprob> prompt;
  std::vector<TokenEvent> events;
};
Scored read_scores(Generation& generation) {
  Scored scored;
  scored.events = generation.wait_and_take();
  scored.prompt = generation.prompt_logprobs();  // complete with the first event
  while (!generation.done()) {
    for (TokenEvent& event : generation.wait_and_take()) scored.events.push_back(std::move(event));
  }
  return scored;
}

Request continuation_of(std::vector<int32_t> prompt, int max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  request.sampling.temperature = 0;
  request.sampling.logprobs = 3;
  return request;
}

TEST_F(EngineTest, APromptsLogprobsAreThoseOfGeneratingIt) {
  start({});
  const Scored generated = read_scores(*engine_->submit(continuation_of({1, 2}, 60)).value());
  std::vector<int32_t> prompt = {1, 2};
  for (const TokenEvent& event : generated.events) prompt.push_back(event.token);
  for (const int tokens_per_step : {512, 7}) {
    start({.tokens_per_step_max = tokens_per_step});
    Request request = continuation_of(prompt, 2);
    request.prompt_logprobs = 3;
    request.choices = 2;
    const auto generation = engine_->submit(request).value();
    const auto other = submit(30, 30);
    const Scored scored = read_scores(*generation);
    ASSERT_EQ(scored.prompt.size(), prompt.size());
    EXPECT_EQ(scored.prompt[0].token, 1);
    EXPECT_EQ(scored.prompt[0].rank, 0);
    for (size_t i = 2; i < prompt.size(); ++i) {
      const PromptLogprob& at = scored.prompt[i];
      const TokenEvent& event = generated.events[i - 2];
      EXPECT_EQ(at.token, event.token);
      EXPECT_EQ(at.logprob, event.logprob) << i;
      EXPECT_EQ(at.rank, 1) << "it was the most probable";
      ASSERT_EQ(at.top.size(), event.top.size());
      for (size_t k = 0; k < at.top.size(); ++k) {
        EXPECT_EQ(at.top[k].token, event.top[k].token);
        EXPECT_EQ(at.top[k].logprob, event.top[k].logprob);
      }
    }
    read_to_the_end(*other);
  }
}

TEST_F(EngineTest, APromptsLogprobsOutliveACancelledFirstChoice) {
  script_.step_ms = 2;
  start({.tokens_per_step_max = 4});
  Request request = continuation_of(std::vector<int32_t>(40, 2), 3);
  request.prompt_logprobs = 0;
  request.choices = 2;
  const auto generation = engine_->submit(request).value();
  EXPECT_TRUE(eventually([&] { return engine_->stats().running > 0; }));
  generation->cancel_choice(0);
  const Ended ended = read_to_the_end(*generation);
  EXPECT_GE(ended.tokens, 3);
  const std::vector<PromptLogprob> prompt = generation->prompt_logprobs();
  ASSERT_EQ(prompt.size(), 40u);
  for (size_t i = 1; i < prompt.size(); ++i) EXPECT_GT(prompt[i].rank, 0) << i;
}

TEST_F(EngineTest, BadWordsAndAllowedTokensHoldForAWholeAnswer) {
  start({});
  Request request = continuation_of({1, 2}, 40);
  const Scored free = read_scores(*engine_->submit(request).value());
  const int32_t first = free.events[0].token, second = free.events[1].token;
  request.sampling.bad_words = {{first, second}};
  const Scored without = read_scores(*engine_->submit(request).value());
  EXPECT_EQ(without.events[0].token, first);
  EXPECT_NE(without.events[1].token, second);
  for (size_t i = 1; i < without.events.size(); ++i) {
    EXPECT_FALSE(without.events[i - 1].token == first && without.events[i].token == second) << i;
  }
  request.sampling.allowed_tokens = {2, 3};
  request.sampling.bad_words.clear();
  for (const TokenEvent& event : read_scores(*engine_->submit(request).value()).events) {
    EXPECT_TRUE(event.token == 2 || event.token == 3);
  }
}

TEST_F(EngineTest, AnswersDoNotDependOnTheNumberOfThreads) {
  std::vector<int32_t> answers[2];
  for (const int threads : {1, 3}) {
    EngineOptions options;
    options.threads = threads;
    options.kv_tokens = 64 * 16;
    const auto engine = Engine::create(small_.model, options).value();
    std::vector<std::shared_ptr<Generation>> generations;
    for (uint64_t i = 0; i < 8; ++i) {
      Request request = continuation_of({1, 2, static_cast<int32_t>(i % 5)}, 20);
      request.sampling.temperature = 1;
      request.sampling.top_p = i % 2 == 0 ? 1 : 0.9;
      request.sampling.typical_p = i % 3 == 0 ? 0.5 : 1;
      request.sampling.seed = i;
      generations.push_back(engine->submit(request).value());
    }
    for (const auto& generation : generations) {
      for (const TokenEvent& event : read_scores(*generation).events) {
        answers[threads > 1].push_back(event.token);
      }
    }
  }
  EXPECT_EQ(answers[0].size(), 160u);
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_F(EngineTest, StoredPrefixesComeBackAfterARestart) {
  const std::string directory = testing::TempDir() + "brisk_engine_store";
  std::filesystem::remove_all(directory);
  std::vector<int32_t> answers[3];
  for (int run = 0; run < 3; ++run) {
    start({.store_directory = run == 0 ? "" : directory});
    const auto generation = submit(100, 20);
    while (!generation->done()) {
      for (const TokenEvent& event : generation->wait_and_take()) {
        answers[run].push_back(event.token);
      }
    }
    EXPECT_TRUE(eventually([&] { return engine_->stats().running == 0; }));
    EXPECT_EQ(engine_->stats().restored_tokens, run == 2 ? 96 : 0);
    EXPECT_EQ(generation->stats().cached_tokens, run == 2 ? 96 : 0);
    engine_.reset();  // what it stores is on the disk now
  }
  EXPECT_EQ(answers[0].size(), 20u);
  EXPECT_EQ(answers[1], answers[0]);
  EXPECT_EQ(answers[2], answers[0]);
  std::filesystem::remove_all(directory);
}

TEST_F(EngineTest, AStoreWithoutThePrefixCacheIsRefused) {
  const auto engine = Engine::create(
      small_.model, {.prefix_cache = false, .store_directory = testing::TempDir() + "unused"});
  EXPECT_TRUE(absl::IsInvalidArgument(engine.status())) << engine.status();
}

TEST_F(EngineTest, WhatHasASaltIsNotStored) {
  const std::string directory = testing::TempDir() + "brisk_engine_store_salted";
  std::filesystem::remove_all(directory);
  start({.store_directory = directory});
  Request request;
  request.prompt.assign(100, 1);
  request.cache_salt = 3;
  read_to_the_end(*engine_->submit(std::move(request)).value());
  engine_.reset();  // finishes what is to be written
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  std::filesystem::remove_all(directory);
}

TEST_F(EngineTest, RequestsCancelledWhileTheyLoadEnd) {
  const std::string directory = testing::TempDir() + "brisk_engine_store_cancelled";
  std::filesystem::remove_all(directory);
  start({.store_directory = directory});
  read_to_the_end(*submit(200, 2));
  for (int i = 0; i < 50; ++i) {
    start({.store_directory = directory});
    const auto kept = submit(200, 3, 2), cancelled = submit(200, 100, 2);
    kept->cancel_choice(1);
    cancelled->cancel();
    read_to_the_end(*cancelled);
    EXPECT_GE(read_to_the_end(*kept).tokens, 3);
    EXPECT_TRUE(eventually([&] { return engine_->stats().kv_blocks_used == 0; }));
  }
  std::filesystem::remove_all(directory);
}

TEST_F(EngineTest, AStepThatDoesNotEndIsReported) {
  script_.step_ms = 200;
  start({.step_seconds_max = 0.02});
  const auto slow = submit(4, 1);
  EXPECT_TRUE(eventually([&] { return engine_->stats().stuck_seconds > 0.02; }));
  read_to_the_end(*slow);
  EXPECT_TRUE(eventually([&] { return engine_->stats().stuck_seconds == 0; }));
}

TEST_F(EngineTest, RefusesWhatItCannotBeginInTime) {
  script_.step_ms = 5;
  start({.tokens_per_step_max = 8, .first_token_seconds_max = 0.5});
  for (int i = 0; i < 3; ++i) read_to_the_end(*submit(20, 4));  // it learns what steps take
  std::vector<std::shared_ptr<Generation>> accepted;
  absl::Status refusal;
  for (int i = 0; i < 200 && refusal.ok(); ++i) {
    Request request;
    request.prompt.assign(100, 1);  // a dozen steps
    const auto generation = engine_->submit(std::move(request));
    if (generation.ok()) accepted.push_back(*generation);
    refusal = generation.status();
  }
  EXPECT_TRUE(absl::IsResourceExhausted(refusal)) << refusal;
  EXPECT_GT(accepted.size(), 2u);
  EXPECT_LT(accepted.size(), 40u);
  ASSERT_TRUE(retry_after_seconds(refusal).has_value());
  EXPECT_GT(*retry_after_seconds(refusal), 0);
  EXPECT_LT(*retry_after_seconds(refusal), 2);
  Request urgent;
  urgent.prompt.assign(100, 1);
  urgent.priority = -1;
  const auto first = engine_->submit(std::move(urgent));
  ASSERT_TRUE(first.ok()) << "all others wait behind it: " << first.status();
  accepted.push_back(*first);
  Request patient;
  patient.prompt.assign(100, 1);
  patient.background = true;
  const auto last = engine_->submit(std::move(patient));
  ASSERT_TRUE(last.ok()) << "nobody waits for it: " << last.status();
  accepted.push_back(*last);
  for (const auto& generation : accepted) generation->cancel();
}

}  // namespace
}  // namespace brisk
