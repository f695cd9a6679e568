// Quality reports as people read them.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compress/evaluate/quality.h"

namespace brisk {

// Name and value of everything that was measured.
std::vector<std::pair<std::string, std::string>> quality_facts(const QualityReport& report);

// A heading and a row for each report, all of equally many cells, the first one text and the others
// numbers. What no report has is left out; what one lacks is "-".
std::vector<std::vector<std::string>> comparison_rows(std::span<const QualityReport> reports);

// "0.0132 (0.0125-0.0139)": KL spans orders of magnitude.
std::string kl_text(const Estimate& kl);

// "45.0 (38.2-52.0)": percent of right answers and their interval; "-" of nothing.
std::string percent_text(const tasks::Score& score);

}  // namespace brisk
