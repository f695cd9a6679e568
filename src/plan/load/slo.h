// Service level objectives: which requests were served well enough.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "plan/load/load_report.h"

namespace brisk {

// "ttft=500ms,tpot=50ms,e2e=10s"; units us, ms, s, min. Errors: InvalidArgument.
absl::StatusOr<Slo> parse_slo(const std::string& text);

// Whether `result` was answered in full and within every bound. A request of one token has no time
// per output token, and so none that is too long.
bool meets(const Slo& slo, const RequestResult& result);

}  // namespace brisk
