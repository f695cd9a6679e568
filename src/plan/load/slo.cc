#include "plan/load/slo.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "base/status.h"

namespace brisk {
namespace {

// "500ms". Errors: InvalidArgument.
absl::StatusOr<double> parse_duration_s(const std::string& text) {
  static const std::map<std::string, double> kUnits = {
      {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"min", 60}};
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const auto unit = kUnits.find(end);
  if (end == text.c_str() || unit == kUnits.end() || !std::isfinite(value) || value <= 0) {
    return invalid_input("'{}' is not a duration; write 500ms, 2s, 1min or 800us", text);
  }
  return value * unit->second;
}

}  // namespace

absl::StatusOr<Slo> parse_slo(const std::string& text) {
  Slo slo;
  const std::map<std::string, double*> bounds = {
      {"ttft", &slo.ttft_s}, {"tpot", &slo.tpot_s}, {"e2e", &slo.e2e_s}};
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    const std::string item = text.substr(start, comma - start);
    const size_t equals = std::min(item.find('='), item.size());
    const auto bound = bounds.find(item.substr(0, equals));
    if (bound == bounds.end() || equals == item.size()) {
      return invalid_input("'{}' is no objective; write ttft=500ms,tpot=50ms,e2e=10s", item);
    }
    BRISK_ASSIGN_OR_RETURN(*bound->second, parse_duration_s(item.substr(equals + 1)));
    start = comma + 1;
  }
  return slo;
}

bool meets(const Slo& slo, const RequestResult& result) {
  return result.outcome == LoadOutcome::kServed && result.ttft_s <= slo.ttft_s &&
         tpot_s(result) <= slo.tpot_s && result.e2e_s <= slo.e2e_s;
}

}  // namespace brisk
