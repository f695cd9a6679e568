// The same load at rising rates or concurrencies, until the server no longer keeps its objectives.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/load/load_report.h"

namespace brisk {

enum class SweepOver : uint8_t { kRate, kConcurrency };

struct SweepSpec {
  SweepOver over = SweepOver::kRate;
  std::vector<double> values;  // ascending
};

// "rate=1,2,4" or "concurrency=1,8,64". Errors: InvalidArgument.
absl::StatusOr<SweepSpec> parse_sweep(const std::string& text);

const char* name_of(SweepOver over);

struct SweepPoint {
  double value = 0;
  LoadReport report;
};

struct SweepReport {
  SweepOver over = SweepOver::kRate;
  std::vector<SweepPoint> points;   // the last one may be the first that was not good
  std::optional<double> last_good;  // nothing when not even the first was
};

// Runs `run_at` value by value; stops after the first whose share of good requests is below
// `goodput_min`. Errors: those of `run_at`.
absl::StatusOr<SweepReport> run_sweep(
    const SweepSpec& spec, double goodput_min,
    const std::function<absl::StatusOr<LoadReport>(double value)>& run_at);

}  // namespace brisk
