// How commands that make an artefact publish it: made under a name of its own, measured against
// what it came from, and given its name only when its gate holds.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

#include "compress/evaluate/quality.h"
#include "compress/report/gate.h"

namespace brisk {

struct PublishOptions {
  std::string text;             // what the artefact is measured on; empty: it is not
  std::string tokenizer;        // of the model it came from, where that has none
  bool same_vocabulary = true;  // its predictions can be compared with those of where it came from
  int threads = 0;              // 0: all
  Gate gate;
};

// --evaluate and the gate's options.
void add_publish_options(CLI::App& app, PublishOptions* options);

// Calls `make` with a name beside `out` and of its kind, measures what it made by the engine as it
// would serve it, lets it carry that report, and gives it the name `out`. When something fails, or
// the gate does not hold (FailedPrecondition, with what was missed), `out` is as it was before.
// The report; nullopt: nothing was measured.
absl::StatusOr<std::optional<QualityReport>> publish(
    const std::string& in, const std::string& out, const PublishOptions& options,
    const std::function<absl::Status(const std::string& path)>& make);

// What was measured, as lines for people.
void print_quality(const QualityReport& report);

}  // namespace brisk
