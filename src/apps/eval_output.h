// What `brisk eval` found, as text, JSON and a page.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <string>
#include <vector>

#include "apps/eval_suites.h"
#include "base/json.h"
#include "compress/evaluate/quality.h"

namespace brisk {

// Everything measured of one artefact.
struct Evaluation {
  std::string path;  // empty: it is behind a server
  QualityReport quality;
  std::vector<SuiteResult> suites;
  // Which questions were answered rightly, by Accuracy::name.
  std::map<std::string, std::vector<bool>> right;
  int64_t queries_cut = 0;  // of multiple choice: longer than the context
};

// One in full, several side by side, with at most `show_wrong` wrong replies of each suite.
void print_text(const std::vector<Evaluation>& evaluations, int show_wrong);

// {"models": [..], "gate": {"held": .., "misses": [..]}}
Json to_json(const std::vector<Evaluation>& evaluations, const std::vector<std::string>& misses,
             int show_wrong);

absl::Status write_html(const std::string& path, const std::string& command,
                        const std::vector<Evaluation>& evaluations,
                        const std::vector<std::string>& misses);

}  // namespace brisk
