#include "engine/sched/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace brisk {
namespace {

SequenceSpec spec_of(int32_t prompt_tokens, int32_t max_tokens, int32_t first_token = 0) {
  SequenceSpec spec;
  spec.prompt.resize(static_cast<size_t>(prompt_tokens));
  std::iota(spec.prompt.begin(), spec.prompt.end(), first_token);
  spec.max_tokens = max_tokens;
  return spec;
}

SchedulerOptions options_of(int32_t blocks, int32_t block_tokens = 4) {
  return {.tokens_per_step_max = 64,
          .sequences_max = 8,
          .waiting_max = 16,
          .context_max = 1000,
          .blocks = blocks,
          .block_tokens = block_tokens};
}

// Runs one step in which every sample draws `token`. The events, copied.
std::vector<SequenceEvent> run_step(Scheduler* scheduler, int32_t token = 7) {
  const StepPlan& plan = scheduler->plan();
  const std::vector<int32_t> tokens(plan.samples.size(), token);
  const auto events = scheduler->commit(tokens);
  return {events.begin(), events.end()};
}

std::vector<size_t> slice_sizes(const StepPlan& plan) {
  std::vector<size_t> sizes;
  for (const Slice& slice : plan.slices) sizes.push_back(slice.tokens.size());
  return sizes;
}

TEST(Scheduler, PlansNothingWithoutWork) {
  Scheduler scheduler(options_of(8));
  EXPECT_TRUE(scheduler.plan().empty());
  EXPECT_FALSE(scheduler.step_is_open());
}

TEST(Scheduler, DecodesFirstAndFillsTheBudgetWithPrompts) {
  auto options = options_of(200);
  options.tokens_per_step_max = 10;
  Scheduler scheduler(options);
  ASSERT_TRUE(scheduler.submit(spec_of(6, 20)).ok());
  ASSERT_TRUE(scheduler.submit(spec_of(17, 20, 100)).ok());
  EXPECT_EQ(slice_sizes(scheduler.plan()), (std::vector<size_t>{6, 4}));
  scheduler.commit(std::vector<int32_t>{7});
  ASSERT_TRUE(scheduler.submit(spec_of(3, 20, 200)).ok());
  EXPECT_EQ(slice_sizes(scheduler.plan()), (std::vector<size_t>{1, 9}));
  scheduler.commit(std::vector<int32_t>{7});
  EXPECT_EQ(slice_sizes(scheduler.plan()), (std::vector<size_t>{1, 4, 3}));
}

TEST(Scheduler, NeedsLogitsOnlyOfTheLastPromptToken) {
  auto options = options_of(20);
  options.tokens_per_step_max = 5;
  Scheduler scheduler(options);
  ASSERT_TRUE(scheduler.submit(spec_of(7, 3)).ok());
  const StepPlan& plan = scheduler.plan();
  EXPECT_EQ(plan.slices[0].logits_from, 5);
  EXPECT_TRUE(plan.samples.empty());
  scheduler.commit({});
  scheduler.plan();
  EXPECT_EQ(plan.slices[0].logits_from, 1);
  ASSERT_EQ(plan.samples.size(), 1u);
  EXPECT_EQ(plan.samples[0].position, 7);
}

TEST(Scheduler, EndsByStopTokenMaxTokensAndContext) {
  auto options = options_of(40);
  options.context_max = 12;
  Scheduler scheduler(options);
  auto stopping = spec_of(4, 100);
  stopping.stop_tokens = {5, 9};
  ASSERT_TRUE(scheduler.submit(stopping).ok());
  EXPECT_EQ(run_step(&scheduler, 7).at(0).end, EndReason::kNone);
  EXPECT_EQ(run_step(&scheduler, 9).at(0).end, EndReason::kStop);

  ASSERT_TRUE(scheduler.submit(spec_of(4, 2)).ok());
  EXPECT_EQ(run_step(&scheduler).at(0).end, EndReason::kNone);
  EXPECT_EQ(run_step(&scheduler).at(0).end, EndReason::kLength);

  ASSERT_TRUE(scheduler.submit(spec_of(10, 100)).ok());
  EXPECT_EQ(run_step(&scheduler).at(0).end, EndReason::kNone);
  EXPECT_EQ(run_step(&scheduler).at(0).end, EndReason::kLength);
  EXPECT_EQ(scheduler.stats().blocks_used, 0);
}

TEST(Scheduler, RefusesWhatItCannotServe) {
  auto options = options_of(4);
  options.waiting_max = 1;
  Scheduler scheduler(options);
  EXPECT_EQ(scheduler.context_max(), 16) << "the pool is smaller than the context";
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler.submit(spec_of(0, 1)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler.submit(spec_of(16, 1)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler.submit(spec_of(2, 0)).status()));
  EXPECT_TRUE(scheduler.submit(spec_of(15, 100)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(scheduler.submit(spec_of(2, 1)).status()));
}

TEST(Scheduler, PrefixHitLeavesTheLastTokenToCompute) {
  Scheduler scheduler(options_of(20));
  ASSERT_TRUE(scheduler.submit(spec_of(8, 1)).ok());
  run_step(&scheduler);
  ASSERT_TRUE(scheduler.submit(spec_of(8, 1)).ok());
  const StepPlan& plan = scheduler.plan();
  EXPECT_EQ(plan.admitted.at(0).cached_tokens, 4);
  EXPECT_EQ(slice_sizes(plan), (std::vector<size_t>{4}));
  EXPECT_EQ(scheduler.stats().prefix_query_tokens, 16);
  EXPECT_EQ(scheduler.stats().prefix_hit_tokens, 4);
}

TEST(Scheduler, ChoicesComputeThePromptOnceAndCopyOnlyItsTail) {
  Scheduler scheduler(options_of(40));
  auto spec = spec_of(10, 4);
  spec.choices = 3;
  const SequenceId first = *scheduler.submit(spec);
  const StepPlan& plan = scheduler.plan();
  EXPECT_EQ(plan.tokens, 10);
  ASSERT_EQ(plan.samples.size(), 3u);
  for (int64_t c = 0; c < 3; ++c) {
    EXPECT_EQ(plan.samples[static_cast<size_t>(c)].sequence, SequenceId{first.value + c});
    EXPECT_EQ(plan.samples[static_cast<size_t>(c)].logits_row, 0);
  }
  scheduler.commit(std::vector<int32_t>{1, 2, 3});
  EXPECT_EQ(scheduler.stats().blocks_used, 3);
  EXPECT_DOUBLE_EQ(scheduler.stats().waste, 2.0 / 12);
  scheduler.plan();
  EXPECT_EQ(slice_sizes(plan), (std::vector<size_t>{1, 1, 1}));
  EXPECT_EQ(plan.copies.size(), 2u) << "the last owner keeps the tail";
  EXPECT_EQ(plan.slices[2].tokens[0], 3);
  EXPECT_EQ(scheduler.stats().blocks_used, 5);
}

TEST(Scheduler, ChoicesBeyondTheLimitWaitAndStillFinish) {
  auto options = options_of(40);
  options.sequences_max = 2;
  Scheduler scheduler(options);
  auto spec = spec_of(10, 3);
  spec.choices = 5;
  ASSERT_TRUE(scheduler.submit(spec).ok());
  std::map<int64_t, int> tokens;
  while (scheduler.has_work()) {
    for (const SequenceEvent& event : run_step(&scheduler)) ++tokens[event.sequence.value];
    EXPECT_LE(scheduler.stats().running, 2);
  }
  EXPECT_EQ(tokens, (std::map<int64_t, int>{{0, 3}, {1, 3}, {2, 3}, {3, 3}, {4, 3}}));
}

TEST(Scheduler, CancellingTheFirstChoiceLeavesTheOthersTheirPrompt) {
  auto options = options_of(40);
  options.tokens_per_step_max = 4;
  Scheduler scheduler(options);
  auto spec = spec_of(10, 2);
  spec.choices = 3;
  const SequenceId first = *scheduler.submit(spec);
  run_step(&scheduler);
  EXPECT_TRUE(scheduler.cancel(first));
  EXPECT_FALSE(scheduler.cancel(first));
  std::map<int64_t, int> tokens;
  while (scheduler.has_work()) {
    for (const SequenceEvent& event : run_step(&scheduler)) ++tokens[event.sequence.value];
  }
  EXPECT_EQ(tokens, (std::map<int64_t, int>{{first.value + 1, 2}, {first.value + 2, 2}}));
}

TEST(Scheduler, CancelInsideAStepTakesEffectWithItsEnd) {
  Scheduler scheduler(options_of(20));
  const SequenceId id = *scheduler.submit(spec_of(6, 5));
  scheduler.plan();
  EXPECT_TRUE(scheduler.cancel(id));
  EXPECT_GT(scheduler.stats().blocks_used, 0) << "the runner still writes";
  EXPECT_TRUE(scheduler.commit(std::vector<int32_t>{1}).empty());
  EXPECT_EQ(scheduler.stats().blocks_used, 0);
  EXPECT_FALSE(scheduler.has_work());
  EXPECT_FALSE(scheduler.cancel(id));
}

TEST(Scheduler, FailedStepEndsOnlyItsSequences) {
  auto options = options_of(40);
  options.sequences_max = 1;
  Scheduler scheduler(options);
  const SequenceId running = *scheduler.submit(spec_of(6, 5));
  const SequenceId waiting = *scheduler.submit(spec_of(6, 1, 50));
  scheduler.plan();
  const auto events = scheduler.fail_step();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].sequence, running);
  EXPECT_EQ(events[0].end, EndReason::kError);
  EXPECT_EQ(scheduler.stats().blocks_cached, 0) << "what was not computed is not published";
  EXPECT_EQ(run_step(&scheduler).at(0).sequence, waiting);
}

TEST(Scheduler, FailedDrawEndsOneSequence) {
  Scheduler scheduler(options_of(40));
  ASSERT_TRUE(scheduler.submit(spec_of(6, 5)).ok());
  ASSERT_TRUE(scheduler.submit(spec_of(6, 5, 50)).ok());
  scheduler.plan();
  const auto events = scheduler.commit(std::vector<int32_t>{kNoToken, 3});
  EXPECT_EQ(events[0].end, EndReason::kError);
  EXPECT_EQ(events[1].end, EndReason::kNone);
  EXPECT_EQ(scheduler.stats().running, 1);
}

TEST(Scheduler, LowerPriorityValuesGoFirstThenArrival) {
  auto options = options_of(40);
  options.sequences_max = 1;
  Scheduler scheduler(options);
  std::vector<int64_t> order;
  for (const int32_t priority : {1, 0, 1, 0}) {
    auto spec = spec_of(4, 1, 10 * static_cast<int32_t>(order.size()));
    spec.priority = priority;
    ASSERT_TRUE(scheduler.submit(spec).ok());
  }
  while (scheduler.has_work()) order.push_back(run_step(&scheduler).at(0).sequence.value);
  EXPECT_EQ(order, (std::vector<int64_t>{1, 3, 0, 2}));
}

TEST(Scheduler, PreemptsTheYoungestWhenBlocksRunOut) {
  Scheduler scheduler(options_of(8));
  const SequenceId old = *scheduler.submit(spec_of(10, 20));
  const SequenceId young = *scheduler.submit(spec_of(10, 20, 50));
  std::vector<int64_t> preempted, ended;
  while (scheduler.has_work()) {
    const StepPlan& plan = scheduler.plan();
    for (const SequenceId id : plan.preempted) preempted.push_back(id.value);
    for (const auto& event : scheduler.commit(std::vector<int32_t>(plan.samples.size(), 7))) {
      if (event.end == EndReason::kLength) ended.push_back(event.sequence.value);
    }
  }
  EXPECT_EQ(preempted, (std::vector<int64_t>{young.value}));
  EXPECT_EQ(ended, (std::vector<int64_t>{old.value, young.value}));
}

// A long request of low priority beside four of high priority, replaced as they end, that together
// outgrow the pool again and again.
TEST(Scheduler, PreemptsASequenceOnlyLogarithmicallyOften) {
  auto options = options_of(256, 1);
  options.context_max = 250;
  Scheduler scheduler(options);
  auto low = spec_of(40, 200);
  low.priority = 1;
  const SequenceId victim = *scheduler.submit(low);
  int preemptions = 0, arrivals = 0, live = 0;
  for (int step = 0; step < 3000; ++step) {
    if (live < 4 && step % 7 == 0) {
      ASSERT_TRUE(scheduler.submit(spec_of(4, 60, 1000 + 10 * arrivals++)).ok());
      ++live;
    }
    const StepPlan& plan = scheduler.plan();
    preemptions += static_cast<int>(std::ranges::count(plan.preempted, victim));
    for (const auto& event : scheduler.commit(std::vector<int32_t>(plan.samples.size(), 7))) {
      if (event.end != EndReason::kNone && event.sequence != victim) --live;
    }
  }
  EXPECT_GT(preemptions, 1);
  EXPECT_LE(preemptions, 9);  // 256 blocks
}

TEST(Scheduler, DecodingNeverPausesForLongPrompts) {
  auto options = options_of(2000, 16);
  options.context_max = 10'000;
  Scheduler scheduler(options);
  const SequenceId chat = *scheduler.submit(spec_of(4, 500));
  run_step(&scheduler);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(scheduler.submit(spec_of(5000, 1, 10'000 * i)).ok());
  for (int step = 0; step < 300; ++step) {
    const auto events = run_step(&scheduler);
    ASSERT_EQ(std::ranges::count(events, chat, &SequenceEvent::sequence), 1) << step;
  }
}

TEST(Scheduler, WastesLessThanFourPercentAtSteadyLoad) {
  auto options = options_of(2000, 16);
  options.tokens_per_step_max = 512;
  options.sequences_max = 64;
  options.waiting_max = 64;
  Scheduler scheduler(options);
  double waste = 0;
  int steps = 0;
  for (int32_t arrivals = 0; steps < 1000; ++steps) {
    while (scheduler.stats().waiting < 8) {
      ASSERT_TRUE(scheduler.submit(spec_of(200 + arrivals % 300, 200, 600 * arrivals)).ok());
      ++arrivals;
    }
    run_step(&scheduler);
    if (steps >= 200) waste += scheduler.stats().waste;
  }
  EXPECT_LT(waste / 800, 0.04);
}

}  // namespace
}  // namespace brisk
