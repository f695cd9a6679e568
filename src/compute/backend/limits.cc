#include "compute/backend/limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/units.h"

namespace brisk {
namespace {

constexpr int kPasses = 5;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds of one parallel pass, the median of kPasses.
template <class F>
double time_passes(ThreadTeam& team, F body) {
  const SteadyClock clock;
  std::vector<double> seconds;
  for (int i = 0; i < kPasses; ++i) {
    const Instant start = clock.now();
    team.run(body);
    seconds.push_back(seconds_between(start, clock.now()));
  }
  return median(seconds);
}

}  // namespace

absl::StatusOr<MachineLimits> measure_limits(const KernelTable& kernels, ThreadTeam& team,
                                             int64_t buffer_bytes) {
  const int64_t bytes = round_up<int64_t>(buffer_bytes, 4096 * team.size());
  void* memory = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return exhausted("no {} for measuring the memory's speed",
                     human_bytes(static_cast<uint64_t>(bytes)));
  }
  auto* const data = static_cast<char*>(memory);
  const int64_t share = bytes / team.size();
  std::atomic<float> kept{0};    // so that no pass can be left out
  team.run([&](Worker worker) {  // first touch where it will be read
    std::memset(data + worker.index * share, worker.index + 1, static_cast<size_t>(share));
  });
  MachineLimits limits;
  const double read_seconds = time_passes(team, [&](Worker worker) {
    kept.store(kernels.read_all(data + worker.index * share, share));
  });
  limits.read_bytes_per_s = static_cast<double>(bytes) / read_seconds;
  ::munmap(memory, static_cast<size_t>(bytes));

  constexpr int64_t kIterations = 2'000'000;
  std::atomic<int32_t> kept_integer{0};
  const PanelKernels& panels = *kernels.panels;
  const double integer_seconds =
      time_passes(team, [&](Worker) { kept_integer.store(panels.integer_peak(kIterations)); });
  limits.int8_ops_per_s =
      2 * static_cast<double>(kIterations * panels.integer_multiply_adds * team.size()) /
      integer_seconds;
  const double flop_seconds =
      time_passes(team, [&](Worker) { kept.store(kernels.multiply_add(kIterations)); });
  limits.flops_per_s =
      static_cast<double>(kIterations * kMultiplyAddFlops * team.size()) / flop_seconds;
  return limits;
}

}  // namespace brisk
