// Artefacts side by side as one HTML page that refers to nothing outside itself: a table, and plots
// of size against quality against speed.
#pragma once

#include <string>
#include <vector>

#include "compress/evaluate/quality.h"

namespace brisk {

struct ComparisonPage {
  std::string title;    // any text
  std::string command;  // how to repeat it
  std::vector<QualityReport> reports;
  std::vector<std::string> misses;  // of the gate, all artefacts together
};

std::string to_html(const ComparisonPage& page);

}  // namespace brisk
