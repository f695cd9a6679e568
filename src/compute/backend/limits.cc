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

  const auto peak = [&](int64_t iterations, int64_t operations, auto run) {
    const double seconds = time_passes(team, [&](Worker) { kept.store(run(iterations)); });
    return static_cast<double>(iterations * operations * team.size()) / seconds;
  };
  constexpr int64_t kIterations = 2'000'000, kTileIterations = 100'000;
  limits.flops_per_s = peak(kIterations, kMultiplyAddFlops, kernels.multiply_add);
  const auto as_float = [](auto integers) {
    return [integers](int64_t iterations) { return static_cast<float>(integers(iterations)); };
  };
  const auto integer_peak = [&](const PanelKernels::Peak& integers) {
    return peak(kIterations, 2 * integers.multiply_adds, as_float(integers.run));
  };
  const PanelKernels& panels = *kernels.panels;
  limits.int8_ops_per_s = integer_peak(panels.int8_peak);
  limits.int4_ops_per_s = panels.int4_peak.run == panels.int8_peak.run
                              ? limits.int8_ops_per_s
                              : integer_peak(panels.int4_peak);
  if (kernels.tiles != nullptr) {
    limits.int8_tile_ops_per_s =
        peak(kTileIterations, kTileInt8Ops, as_float(kernels.tiles->int8_peak));
    limits.bf16_tile_ops_per_s = peak(kTileIterations, kTileBf16Ops, kernels.tiles->bf16_peak);
  }
  return limits;
}

}  // namespace brisk
