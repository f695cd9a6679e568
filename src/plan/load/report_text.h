// A load report as text and as JSON, with the lines and the keys of `vllm bench serve`.
#pragma once

#include <string>

#include "base/json.h"
#include "plan/load/load_report.h"

namespace brisk {

// What the text does not find in the report itself.
struct ReportSettings {
  bool has_slo = false;
};

std::string to_report_text(const LoadReport& report, const ReportSettings& settings);

// Milliseconds and requests/s, under vLLM's names, and brisk's own counts beside them.
Json to_report_json(const LoadReport& report);

}  // namespace brisk
