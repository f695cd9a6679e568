// Counts what the scheduler allocates while sequences only decode: nothing.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

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

}  // namespace
}  // namespace brisk
