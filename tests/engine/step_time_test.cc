#include "engine/step_time.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "engine/sched/wait_prediction.h"

namespace brisk {
namespace {

double seconds_of(int64_t tokens, int64_t positions) {
  return 20e-3 + 3e-3 * static_cast<double>(tokens) + 2e-6 * static_cast<double>(positions);
}

TEST(StepTimeModel, LearnsItsTermsFromNoisySteps) {
  StepTimeModel model;
  Rng rng(5);
  for (int i = 0; i < 500; ++i) {
    const int64_t tokens = 1 + static_cast<int64_t>(rng.next_below(100));
    const int64_t positions = tokens * static_cast<int64_t>(rng.next_below(2000));
    model.observe(tokens, positions,
                  seconds_of(tokens, positions) * (0.9 + 0.2 * rng.next_uniform()));
  }
  EXPECT_NEAR(static_cast<double>(model.costs().step), 20e6, 3e6);
  EXPECT_NEAR(static_cast<double>(model.costs().token), 3e6, 0.3e6);
  EXPECT_NEAR(static_cast<double>(model.costs().thousand_positions), 2e6, 0.5e6);
}

TEST(StepTimeModel, RemembersPromptsThroughALongDecode) {
  StepTimeModel model;
  for (const int64_t tokens : {64, 1, 128, 2, 200}) model.observe(tokens, 0, seconds_of(tokens, 0));
  for (int i = 0; i < 20'000; ++i) model.observe(4, 4000, seconds_of(4, 4000));
  EXPECT_NEAR(static_cast<double>(model.costs().token), 3e6, 1e6);
}

TEST(StepTimeModel, FollowsAMachineThatBecomesSlower) {
  StepTimeModel model;
  for (int i = 0; i < 1000; ++i) model.observe(1 + i % 50, 0, seconds_of(1 + i % 50, 0));
  for (int i = 0; i < 5000; ++i) model.observe(1 + i % 50, 0, 3 * seconds_of(1 + i % 50, 0));
  EXPECT_NEAR(static_cast<double>(model.costs().token), 9e6, 1e6);
}

TEST(StepTimeModel, KnowsNothingAtFirstAndIsNeverNegative) {
  StepTimeModel model;
  EXPECT_EQ(model.costs().token, 0);
  Rng rng(6);
  for (int i = 0; i < 300; ++i) {
    model.observe(1 + static_cast<int64_t>(rng.next_below(500)),
                  static_cast<int64_t>(rng.next_below(100'000)), 1e-6 + rng.next_uniform());
    EXPECT_GE(model.costs().step, 0);
    EXPECT_GE(model.costs().token, 0);
    EXPECT_GE(model.costs().thousand_positions, 0);
  }
}

PredictionInput idle_machine() {
  return {.backlog = {.running_max = 8},
          .costs = {.step = 1'000'000, .token = 10'000},
          .tokens_per_step_max = 100,
          .prompt_tokens = 1000};
}

TEST(Prediction, IsThePromptsTimeOnAnIdleMachine) {
  // Ten steps of 100 tokens, 2 ms each.
  EXPECT_EQ(predict_first_token(idle_machine()), 20'000'000);
}

TEST(Prediction, CountsThePromptsAhead) {
  PredictionInput input = idle_machine();
  input.backlog.prompt_tokens = 4000;
  EXPECT_EQ(predict_first_token(input), 100'000'000);
}

TEST(Prediction, WaitsForPlaces) {
  PredictionInput input = idle_machine();
  input.backlog.running = 8;
  input.backlog.waiting = 3;
  input.backlog.sequence_nanoseconds = 8'000'000'000;
  EXPECT_EQ(predict_first_token(input), 4'000'000'000);
  input.backlog.running = 4;
  EXPECT_LT(predict_first_token(input), 100'000'000);
  input.backlog.lacks_room = true;  // of blocks
  EXPECT_EQ(predict_first_token(input), 8'000'000'000);
}

TEST(Prediction, IsUnknownWithoutCosts) {
  PredictionInput input = idle_machine();
  input.costs = {};
  EXPECT_EQ(predict_first_token(input), 0);
}

}  // namespace
}  // namespace brisk
