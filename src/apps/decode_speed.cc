#include "apps/decode_speed.h"

#include <algorithm>
#include <memory>

#include "base/status.h"
#include "base/units.h"
#include "plan/bench/step_driver.h"

namespace brisk {

absl::StatusOr<double> measure_decode_speed(const Model& model, int threads) {
  constexpr int kRunsMin = 3;
  constexpr double kSecondsMin = 0.5;
  const BenchTest test = {.kind = BenchTest::Kind::kDecode,
                          .tokens = std::min(32, static_cast<int>(model.spec.context_length))};
  ThreadTeam team(threads > 0 ? threads : usable_threads());
  BRISK_ASSIGN_OR_RETURN(
      const std::unique_ptr<StepDriver> driver,
      StepDriver::create(model, team,
                         {.rows_max = 1,
                          .batch_max = 1,
                          .element = kv_element_for(model, KvDType::kAuto),
                          .blocks = ceil_div<int64_t>(test.tokens, kKvBlockTokens)}));
  driver->prepare(test);
  driver->run(test);
  double best = driver->run(test), total = best;
  for (int runs = 1; runs < kRunsMin || total < kSecondsMin; ++runs) {
    const double seconds = driver->run(test);
    best = std::min(best, seconds);
    total += seconds;
  }
  return test.tokens / std::max(best, 1e-9);
}

}  // namespace brisk
