// A quality report as the JSON that an artefact carries about itself.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "base/json.h"
#include "compress/evaluate/quality.h"

namespace brisk {

// How many were right, and between which rates the truth lies.
Json to_json(const tasks::Score& score);

// "value", and with an interval "low" and "high".
Json to_json(const Estimate& estimate);

// Parts that were not measured have no member.
Json to_json(const QualityReport& report);

// The report in such a JSON. Errors: InvalidArgument naming the member that is missing or wrong;
// members that it does not know are ignored.
absl::StatusOr<QualityReport> quality_of_json(const Json& json);

}  // namespace brisk
