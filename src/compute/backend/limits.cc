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

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

// Seconds of one parallel pass, the median of `passes`.
template <class F>
double time_passes(ThreadTeam& team, int passes, F body) {
  const SteadyClock clock;
  std::vector<double> seconds;
  for (int i = 0; i < passes; ++i) {
    const Instant start = clock.now();
    team.run(body);
    seconds.push_back(seconds_between(start, clock.now()));
  }
  return median(seconds);
}

}  // namespace

void LimitsMeter::Unmap::operator()(char* memory) const { ::munmap(memory, bytes); }

LimitsMeter::LimitsMeter(const KernelTable& kernels, ThreadTeam& team, char* memory, int64_t bytes)
    : kernels_(&kernels),
      team_(&team),
      memory_(memory, {static_cast<size_t>(bytes)}),
      share_(bytes / team.size()) {
  team.run([&](Worker worker) {  // first touch where it will be read
    std::memset(memory + worker.index * share_, worker.index + 1, static_cast<size_t>(share_));
  });
}

absl::StatusOr<LimitsMeter> LimitsMeter::create(const KernelTable& kernels, ThreadTeam& team,
                                                int64_t buffer_bytes) {
  const int64_t bytes = round_up<int64_t>(buffer_bytes, 4096 * team.size());
  void* memory = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return exhausted("no {} for measuring the memory's speed",
                     human_bytes(static_cast<uint64_t>(bytes)));
  }
  return LimitsMeter(kernels, team, static_cast<char*>(memory), bytes);
}

MachineLimits LimitsMeter::measure(int passes) {
  std::atomic<float> kept{0};  // so that no pass can be left out
  MachineLimits limits;
  const double read_seconds = time_passes(*team_, passes, [&](Worker worker) {
    kept.store(kernels_->read_all(memory_.get() + worker.index * share_, share_));
  });
  limits.read_bytes_per_s = static_cast<double>(share_ * team_->size()) / read_seconds;

  const auto peak = [&](int64_t iterations, int64_t operations, auto run) {
    const double seconds =
        time_passes(*team_, passes, [&](Worker) { kept.store(run(iterations)); });
    return static_cast<double>(iterations * operations * team_->size()) / seconds;
  };
  constexpr int64_t kIterations = 2'000'000, kTileIterations = 100'000;
  limits.flops_per_s = peak(kIterations, kMultiplyAddFlops, kernels_->multiply_add);
  const auto as_float = [](auto integers) {
    return [integers](int64_t iterations) { return static_cast<float>(integers(iterations)); };
  };
  const auto integer_peak = [&](const PanelKernels::Peak& integers) {
    return peak(kIterations, 2 * integers.multiply_adds, as_float(integers.run));
  };
  const PanelKernels& panels = *kernels_->panels;
  limits.int8_ops_per_s = integer_peak(panels.int8_peak);
  limits.int4_ops_per_s = panels.int4_peak.run == panels.int8_peak.run
                              ? limits.int8_ops_per_s
                              : integer_peak(panels.int4_peak);
  if (const TileKernels* tiles = kernels_->tiles; tiles != nullptr) {
    limits.int8_tile_ops_per_s = peak(kTileIterations, kTileInt8Ops, as_float(tiles->int8_peak));
    limits.bf16_tile_ops_per_s = peak(kTileIterations, kTileBf16Ops, tiles->bf16_peak);
  }
  return limits;
}

MachineLimits median_of(std::span<const MachineLimits> limits) {
  MachineLimits result;
  for (double MachineLimits::* limit :
       {&MachineLimits::read_bytes_per_s, &MachineLimits::int8_ops_per_s,
        &MachineLimits::int4_ops_per_s, &MachineLimits::int8_tile_ops_per_s,
        &MachineLimits::bf16_tile_ops_per_s, &MachineLimits::flops_per_s}) {
    std::vector<double> values;
    for (const MachineLimits& one : limits) values.push_back(one.*limit);
    result.*limit = median(values);
  }
  return result;
}

}  // namespace brisk
