// What an artefact must hold before it is published.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compress/evaluate/quality.h"

namespace brisk {

struct AccuracyFloor {
  std::string name;  // as Accuracy::name; empty: each that was measured
  double rate = 0;   // 0 to 1
};

struct Gate {
  std::optional<double> kl_max = std::nullopt;  // mean, nats a token
  std::optional<double> perplexity_increase_max =
      std::nullopt;  // over the reference's: 0.01 is one percent
  std::vector<AccuracyFloor> accuracy_min = {};
  std::optional<uint64_t> bytes_max = std::nullopt;  // of the weight files

  bool is_empty() const {
    return !kl_max && !perplexity_increase_max && accuracy_min.empty() && !bytes_max;
  }
};

// The limits that `report` misses, each as a line that says by how much; none: the gate holds. The
// measured value counts, not the end of its confidence interval; what is no number misses.
// Errors: InvalidArgument when a limit is on something that was not measured.
absl::StatusOr<std::vector<std::string>> misses_of(const Gate& gate, const QualityReport& report);

// Ok when it holds, FailedPrecondition (exit code 2) with all misses when it does not, and errors
// of misses_of.
absl::Status check_gate(const Gate& gate, const QualityReport& report);

}  // namespace brisk
