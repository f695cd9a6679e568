// Who is admitted and who shares a step: tenants, policies, limits of prompts, pauses.
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "engine/sched/scheduler.h"

namespace brisk {
namespace {

SequenceSpec spec_of(int32_t prompt_tokens, int32_t max_tokens, Tenant tenant = {}) {
  SequenceSpec spec;
  spec.prompt.resize(static_cast<size_t>(prompt_tokens));
  std::iota(spec.prompt.begin(), spec.prompt.end(), tenant.id * 1000);
  spec.max_tokens = max_tokens;
  spec.tenant = tenant;
  return spec;
}

SchedulerOptions options_of(BatchPolicy policy) {
  return {.policy = policy,
          .tokens_per_step_max = 64,
          .sequences_max = 2,
          .waiting_max = 1000,
          .context_max = 1000,
          .blocks = 400,
          .block_tokens = 4,
          .prefix_cache = false};
}

std::vector<int64_t> admitted_in_one_step(Scheduler* scheduler) {
  const StepPlan& plan = scheduler->plan();
  std::vector<int64_t> ids;
  for (const Admission& admission : plan.admitted) ids.push_back(admission.sequence.value);
  scheduler->commit(std::vector<int32_t>(plan.samples.size(), 7));
  return ids;
}

TEST(Fairness, TenantsTakeTurnsHoweverManyRequestsOneHas) {
  Scheduler scheduler(options_of(BatchPolicy::kSplitFuse));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(scheduler.submit(spec_of(8, 1, {.id = 1})).ok());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(scheduler.submit(spec_of(8, 1, {.id = 2})).ok());
  EXPECT_EQ(admitted_in_one_step(&scheduler), (std::vector<int64_t>{0, 20}));
  EXPECT_EQ(admitted_in_one_step(&scheduler), (std::vector<int64_t>{1, 21}));
  EXPECT_EQ(admitted_in_one_step(&scheduler), (std::vector<int64_t>{2, 3}));
}

TEST(Fairness, TenantsGetTokensInProportionToTheirWeights) {
  Scheduler scheduler(options_of(BatchPolicy::kSplitFuse));
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(scheduler.submit(spec_of(8, 4, {.id = 1, .weight = 1})).ok());
    ASSERT_TRUE(scheduler.submit(spec_of(8, 4, {.id = 2, .weight = 3})).ok());
  }
  std::map<int64_t, int> admitted;  // by tenant
  for (int step = 0; step < 400; ++step) {
    for (const int64_t id : admitted_in_one_step(&scheduler)) ++admitted[1 + id % 2];
  }
  EXPECT_NEAR(static_cast<double>(admitted[2]) / admitted[1], 3, 0.1);
}

TEST(Beams, ThatGaveWayCatchUpAndAreDrawnInOneStep) {
  SchedulerOptions options = options_of(BatchPolicy::kSplitFuse);
  options.tokens_per_step_max = 6;
  options.sequences_max = 6;
  options.block_tokens = 1;
  options.blocks = 60;
  options.prefix_cache = true;
  Scheduler scheduler(options);
  SequenceSpec search = spec_of(6, 12, {.id = 1});
  search.choices = 3;
  search.beams = true;
  search.priority = 1;
  ASSERT_TRUE(scheduler.submit(search).ok());
  scheduler.plan();
  scheduler.commit(std::vector<int32_t>{7, 8, 9});
  // Two go before the search, grow until it gives way, and end at once.
  for (int i = 2; i < 4; ++i) {
    SequenceSpec other = spec_of(1, 50, {.id = i});
    other.stop_tokens = {3};
    ASSERT_TRUE(scheduler.submit(other).ok());
  }
  bool gave_way = false;
  for (int step = 0; step < 40 && !gave_way; ++step) {
    const StepPlan& plan = scheduler.plan();
    gave_way = !plan.preempted.empty();
    std::vector<int32_t> tokens;
    for (const Sample& sample : plan.samples) {
      tokens.push_back(gave_way ? 3 : 7 + static_cast<int32_t>(sample.sequence.value));
    }
    scheduler.commit(tokens);
  }
  ASSERT_TRUE(gave_way);
  // A prompt before them takes most of the budget. The last beam has lost two blocks, the others
  // wait for it.
  ASSERT_TRUE(scheduler.submit(spec_of(4, 5, {.id = 4})).ok());
  const StepPlan& crowded = scheduler.plan();
  EXPECT_EQ(crowded.admitted.size(), 4u);
  EXPECT_EQ(crowded.samples.size(), 1u);
  EXPECT_EQ(crowded.slices.size(), 2u);
  EXPECT_EQ(crowded.tokens, 6) << "all else was cached";
  scheduler.commit(std::vector<int32_t>{7});
  const StepPlan& next = scheduler.plan();
  EXPECT_EQ(next.samples.size(), 4u);
  EXPECT_EQ(next.tokens, 4);
}

TEST(Fairness, AbsenceSavesNothingUp) {
  Scheduler scheduler(options_of(BatchPolicy::kSplitFuse));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(scheduler.submit(spec_of(8, 1, {.id = 1})).ok());
  for (int step = 0; step < 20; ++step) admitted_in_one_step(&scheduler);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(scheduler.submit(spec_of(8, 1, {.id = 2})).ok());
  EXPECT_EQ(admitted_in_one_step(&scheduler).size(), 2u);
  // One each from here on, not two of the newcomer until it has caught up with what it missed.
  EXPECT_EQ(admitted_in_one_step(&scheduler), (std::vector<int64_t>{41, 101}));
}

TEST(Fairness, RefusesImpossibleWeights) {
  Scheduler scheduler(options_of(BatchPolicy::kSplitFuse));
  EXPECT_FALSE(scheduler.submit(spec_of(8, 1, {.id = 1, .weight = 0})).ok());
  EXPECT_FALSE(scheduler.submit(spec_of(8, 1, {.id = 1, .weight = 1 << 17})).ok());
}

TEST(BatchPolicy, StaticBatchesBeginWhenTheLastHasEnded) {
  Scheduler scheduler(options_of(BatchPolicy::kStatic));
  ASSERT_TRUE(scheduler.submit(spec_of(8, 1)).ok());
  ASSERT_TRUE(scheduler.submit(spec_of(8, 3)).ok());
  ASSERT_TRUE(scheduler.submit(spec_of(8, 1)).ok());
  EXPECT_EQ(admitted_in_one_step(&scheduler), (std::vector<int64_t>{0, 1}));
  EXPECT_TRUE(admitted_in_one_step(&scheduler).empty());
  EXPECT_TRUE(admitted_in_one_step(&scheduler).empty());
  EXPECT_EQ(admitted_in_one_step(&scheduler), (std::vector<int64_t>{2}));
}

TEST(BatchPolicy, IterationLetsDecodingWaitForPrompts) {
  auto options = options_of(BatchPolicy::kIteration);
  options.tokens_per_step_max = 10;
  Scheduler scheduler(options);
  ASSERT_TRUE(scheduler.submit(spec_of(4, 5)).ok());
  admitted_in_one_step(&scheduler);
  ASSERT_TRUE(scheduler.submit(spec_of(15, 5)).ok());
  for (const int32_t tokens : {10, 5, 2}) {
    const StepPlan& plan = scheduler.plan();
    EXPECT_EQ(plan.tokens, tokens);
    scheduler.commit(std::vector<int32_t>(plan.samples.size(), 7));
  }
}

TEST(BatchPolicy, PromptsStretchAStepOnlySoFar) {
  auto options = options_of(BatchPolicy::kSplitFuse);
  options.stretch_percent = 200;
  Scheduler scheduler(options);
  ASSERT_TRUE(scheduler.submit(spec_of(4, 5)).ok());
  admitted_in_one_step(&scheduler);
  ASSERT_TRUE(scheduler.submit(spec_of(60, 5)).ok());
  scheduler.set_costs({.step = 20'000, .token = 1000});
  // Decoding takes 21 us: prompts may add as much.
  EXPECT_EQ(scheduler.plan().tokens, 1 + 21);
  scheduler.commit(std::vector<int32_t>{7});
  // Positions cost too: 200 ns a token at position 20, and 26 for the one that decodes.
  scheduler.set_costs({.step = 20'000, .token = 1000, .thousand_positions = 10'000});
  EXPECT_EQ(scheduler.plan().tokens, 1 + 17);
  scheduler.commit(std::vector<int32_t>{7});
  // A block at least, so that prompts get on.
  scheduler.set_costs({.step = 1, .token = 1000});
  EXPECT_EQ(scheduler.plan().tokens, 1 + 4);
}

TEST(Scheduler, GivesLogitsOfTheWholePromptInPieces) {
  auto options = options_of(BatchPolicy::kSplitFuse);
  options.prompt_logits_per_step_max = 6;
  Scheduler scheduler(options);
  SequenceSpec spec = spec_of(8, 2);
  spec.prompt_logits = true;
  ASSERT_TRUE(scheduler.submit(spec).ok());
  const StepPlan& plan = scheduler.plan();
  EXPECT_EQ(plan.slices[0].tokens.size(), 6u);
  EXPECT_EQ(plan.logits_rows, 6);
  scheduler.commit({});
  scheduler.plan();
  EXPECT_EQ(plan.logits_rows, 2);
  ASSERT_EQ(plan.samples.size(), 1u);
  EXPECT_EQ(plan.samples[0].logits_row, 1);
  scheduler.commit(std::vector<int32_t>{7});
  EXPECT_EQ(scheduler.plan().logits_rows, 1);
}

TEST(Scheduler, APausedSequenceHoldsNothingAndGoesOnLater) {
  Scheduler scheduler(options_of(BatchPolicy::kSplitFuse));
  const auto id = scheduler.submit(spec_of(8, 4));
  ASSERT_TRUE(id.ok());
  admitted_in_one_step(&scheduler);
  ASSERT_TRUE(scheduler.pause(*id));
  EXPECT_FALSE(scheduler.pause(*id));
  EXPECT_EQ(scheduler.stats().blocks_used, 0);
  EXPECT_EQ(scheduler.stats().paused, 1);
  EXPECT_FALSE(scheduler.has_work());
  scheduler.resume(*id);
  const StepPlan& plan = scheduler.plan();
  ASSERT_EQ(plan.admitted.size(), 1u);
  EXPECT_TRUE(plan.admitted[0].resumed);
  EXPECT_EQ(plan.samples[0].position, 9);
  scheduler.commit(std::vector<int32_t>{7});
  ASSERT_TRUE(scheduler.pause(*id));
  EXPECT_TRUE(scheduler.cancel(*id));
  EXPECT_EQ(scheduler.stats().paused, 0);
}

}  // namespace
}  // namespace brisk
