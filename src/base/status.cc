#include "base/status.h"

#include <absl/strings/cord.h>
#include <absl/strings/numbers.h>

#include <string>

namespace brisk {
namespace {

constexpr char kRetryAfterKey[] = "brisk/retry-after";

}  // namespace

absl::Status with_retry_after(absl::Status status, double seconds) {
  status.SetPayload(kRetryAfterKey, absl::Cord(fmt::format("{:.3f}", seconds).c_str()));
  return status;
}

std::optional<double> retry_after_seconds(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfterKey);
  double seconds = 0;
  if (!payload.has_value() || !absl::SimpleAtod(std::string(*payload).c_str(), &seconds)) {
    return std::nullopt;
  }
  return seconds;
}

}  // namespace brisk
