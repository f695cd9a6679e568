// Counts what a step allocates while sequences only decode: nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "base/rng.h"
#include "engine/sample/sampler.h"
#include "engine/sched/scheduler.h"

namespace {
int64_t allocations = 0;
}  // namespace

void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace brisk {
namespace {

TEST(Scheduler, AllocatesNothingInASteadyStep) {
  Scheduler scheduler({.context_max = 4096, .blocks = 2000});
  for (int32_t i = 0; i < 32; ++i) {
    SequenceSpec spec;
    spec.prompt.assign(100, i);
    spec.max_tokens = 1000;
    ASSERT_TRUE(scheduler.submit(spec).ok());
  }
  std::vector<int32_t> drawn;
  const auto run_steps = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      drawn.assign(scheduler.plan().samples.size(), 7 + i % 5);
      ASSERT_FALSE(scheduler.commit(drawn).empty());
    }
  };
  // Tables and token lists double now and then; from 532 to 732 tokens neither does.
  run_steps(440);
  const int64_t before = allocations;
  run_steps(200);
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(scheduler.stats().running, 32);
}

TEST(Sampler, AllocatesNothingOnceItHasSeenTheVocabulary) {
  Rng rng(4);
  std::vector<float> logits(5000);
  for (float& logit : logits) logit = static_cast<float>(rng.next_gaussian());
  SamplingHistory history;
  for (int32_t i = 0; i < 100; ++i) history.add_output(i);
  const SamplingParams params = {.top_k = 2000,
                                 .top_p = 0.9,
                                 .min_p = 0.01,
                                 .frequency_penalty = 0.1,
                                 .logit_bias = {{7, 1.0f}},
                                 .logprobs = 5};
  SamplerScratch scratch;
  const auto draw = [&](int64_t position) {
    return sample({.logits = logits, .params = &params, .history = &history, .position = position},
                  &scratch)
        ->token;
  };
  int32_t largest = draw(0);
  const int64_t before = allocations;
  for (int64_t i = 1; i < 50; ++i) largest = std::max(largest, draw(i));
  EXPECT_EQ(allocations - before, 0);
  EXPECT_GT(largest, 0);
}

}  // namespace
}  // namespace brisk
