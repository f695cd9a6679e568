#include "plan/load/sweep.h"

#include <cmath>
#include <cstdlib>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kPointsMax = 64;

absl::Status bad_sweep(const std::string& text) {
  return invalid_input(
      "'{}' is no sweep; write rate=1,2,4 or concurrency=1,8,64, rising, at most {} values", text,
      kPointsMax);
}

}  // namespace

absl::StatusOr<SweepSpec> parse_sweep(const std::string& text) {
  SweepSpec spec;
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return bad_sweep(text);
  const std::string over = text.substr(0, equals);
  if (over != "rate" && over != "concurrency") return bad_sweep(text);
  spec.over = over == "rate" ? SweepOver::kRate : SweepOver::kConcurrency;
  const char* next = text.c_str() + equals;
  do {
    const char* const start = next + 1;
    char* end = nullptr;
    const double value = std::strtod(start, &end);
    const bool whole = spec.over == SweepOver::kRate || value == std::floor(value);
    const bool rises = spec.values.empty() || value > spec.values.back();
    if (end == start || !(value > 0) || value > 1e6 || !whole || !rises ||
        spec.values.size() == kPointsMax) {
      return bad_sweep(text);
    }
    spec.values.push_back(value);
    next = end;
  } while (*next == ',');
  if (*next != '\0') return bad_sweep(text);
  return spec;
}

const char* name_of(SweepOver over) {
  switch (over) {
    case SweepOver::kRate:
      return "rate";
    case SweepOver::kConcurrency:
      return "concurrency";
  }
  return "";
}

absl::StatusOr<SweepReport> run_sweep(
    const SweepSpec& spec, double goodput_min,
    const std::function<absl::StatusOr<LoadReport>(double value)>& run_at) {
  SweepReport sweep = {.over = spec.over, .points = {}, .last_good = std::nullopt};
  for (const double value : spec.values) {
    BRISK_ASSIGN_OR_RETURN(LoadReport report, run_at(value));
    const bool good = report.goodput_fraction >= goodput_min;
    sweep.points.push_back({.value = value, .report = std::move(report)});
    if (!good) break;
    sweep.last_good = value;
  }
  return sweep;
}

}  // namespace brisk
