// A load report as one HTML page that refers to nothing outside itself.
#pragma once

#include <string>

#include "plan/load/report_text.h"
#include "plan/load/sweep.h"

namespace brisk {

struct HtmlReport {
  std::string title;    // e.g. the server's address and model; any text
  std::string command;  // how to repeat it
  ReportSettings settings;
  const SweepReport* sweep = nullptr;  // when it was one
  const LoadReport* report = nullptr;  // whose figures and plots are shown in full; never null
};

std::string to_html(const HtmlReport& html);

}  // namespace brisk
