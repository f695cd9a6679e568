// Thousands of random lives of the scheduler. BRISK_SIMULATE_SCENARIOS sets how many,
// BRISK_SIMULATE_SEED replays one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "tests/simulate/simulation.h"

namespace brisk::simulate {
namespace {

char replay_line[128];

// A failed CHECK aborts and a wild index may crash; the seed is needed then more than ever.
void print_replay_line(int signal) {
  const size_t length = std::char_traits<char>::length(replay_line);
  const ssize_t written = write(STDERR_FILENO, replay_line, length);
  static_cast<void>(written);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(SchedulerSimulation, HoldsEverythingInRandomLives) {
  const uint64_t only = from_environment("BRISK_SIMULATE_SEED", 0);
  const uint64_t scenarios = from_environment("BRISK_SIMULATE_SCENARIOS", 10'000);
  std::signal(SIGABRT, print_replay_line);
  std::signal(SIGSEGV, print_replay_line);
  Outcome sum;
  const uint64_t first = only == 0 ? 1 : only;
  const uint64_t last = only == 0 ? scenarios : only;
  for (uint64_t seed = first; seed <= last; ++seed) {
    std::snprintf(replay_line, sizeof replay_line, "replay with BRISK_SIMULATE_SEED=%llu\n",
                  static_cast<unsigned long long>(seed));
    const Outcome outcome = Simulation(random_scenario(seed), seed).run();
    ASSERT_EQ(outcome.error, "") << replay_line;
    sum.steps += outcome.steps;
    sum.preemptions += outcome.preemptions;
    sum.prefix_hit_tokens += outcome.prefix_hit_tokens;
    sum.copies += outcome.copies;
    sum.forks += outcome.forks;
    sum.reorders += outcome.reorders;
    sum.cancels += outcome.cancels;
    sum.pauses += outcome.pauses;
    sum.failures += outcome.failures;
  }
  std::signal(SIGABRT, SIG_DFL);
  std::signal(SIGSEGV, SIG_DFL);
  std::printf(
      "%llu lives: %lld steps, %lld preemptions, %lld cached tokens, %lld copies, %lld forks, "
      "%lld reorders, %lld cancels, %lld pauses, %lld failed steps\n",
      static_cast<unsigned long long>(last - first + 1), static_cast<long long>(sum.steps),
      static_cast<long long>(sum.preemptions), static_cast<long long>(sum.prefix_hit_tokens),
      static_cast<long long>(sum.copies), static_cast<long long>(sum.forks),
      static_cast<long long>(sum.reorders), static_cast<long long>(sum.cancels),
      static_cast<long long>(sum.pauses), static_cast<long long>(sum.failures));
  if (only != 0 || scenarios < 1000) return;
  EXPECT_GT(sum.preemptions, 100);
  EXPECT_GT(sum.prefix_hit_tokens, 1000);
  EXPECT_GT(sum.copies, 100);
  EXPECT_GT(sum.forks, 100);
  EXPECT_GT(sum.reorders, 100);
  EXPECT_GT(sum.cancels, 100);
  EXPECT_GT(sum.pauses, 100);
  EXPECT_GT(sum.failures, 100);
}

}  // namespace
}  // namespace brisk::simulate
