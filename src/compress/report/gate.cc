#include "compress/report/gate.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/status.h"
#include "base/units.h"

namespace brisk {
namespace {

void check_kl(double limit, const Divergence& divergence, std::vector<std::string>& misses) {
  const double kl = divergence.kl.value;
  if (kl <= limit) return;
  misses.push_back(fmt::format("mean KL is {:.5g} nats a token, {:.3g} above the {:g} of --max-kl",
                               kl, kl - limit, limit));
}

void check_perplexity(double limit, const Divergence& divergence,
                      std::vector<std::string>& misses) {
  const double increase = divergence.perplexity_ratio.value - 1;
  if (increase <= limit) return;
  misses.push_back(
      fmt::format("perplexity is {:.4g} % above the reference's, {:.3g} more than the {:g} % of "
                  "--max-ppl-increase",
                  100 * increase, 100 * (increase - limit), 100 * limit));
}

void check_bytes(uint64_t limit, uint64_t bytes, std::vector<std::string>& misses) {
  if (bytes <= limit) return;
  misses.push_back(fmt::format("the weights take {} ({} bytes), {} above the {} of --max-size",
                               human_bytes(bytes), bytes, human_bytes(bytes - limit),
                               human_bytes(limit)));
}

absl::Status check_accuracy(const AccuracyFloor& floor, const QualityReport& report,
                            std::vector<std::string>& misses) {
  bool measured = false;
  for (const Accuracy& accuracy : report.accuracies) {
    if (!floor.name.empty() && accuracy.name != floor.name) continue;
    measured = true;
    const double rate = accuracy.score.rate();
    if (rate >= floor.rate) continue;
    misses.push_back(
        fmt::format("{}: {:.1f} % are right ({} of {}), {:.1f} less than the {:g} % of --min-task",
                    accuracy.name, 100 * rate, accuracy.score.right, accuracy.score.total,
                    100 * (floor.rate - rate), 100 * floor.rate));
  }
  if (measured) return absl::OkStatus();
  if (floor.name.empty()) return invalid_input("--min-task needs something that was answered");
  return invalid_input("--min-task names '{}', which was not measured", floor.name);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> misses_of(const Gate& gate, const QualityReport& report) {
  std::vector<std::string> misses;
  if (gate.kl_max || gate.perplexity_increase_max) {
    if (!report.text || !report.text->divergence) {
      return invalid_input(
          "--max-kl and --max-ppl-increase need a text, and a reference to compare with");
    }
    const Divergence& divergence = *report.text->divergence;
    if (gate.kl_max) check_kl(*gate.kl_max, divergence, misses);
    if (gate.perplexity_increase_max) {
      check_perplexity(*gate.perplexity_increase_max, divergence, misses);
    }
  }
  for (const AccuracyFloor& floor : gate.accuracy_min) {
    BRISK_RETURN_IF_ERROR(check_accuracy(floor, report, misses));
  }
  if (gate.bytes_max) check_bytes(*gate.bytes_max, report.bytes, misses);
  return misses;
}

absl::Status check_gate(const Gate& gate, const QualityReport& report) {
  BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> misses, misses_of(gate, report));
  if (misses.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} misses its gate: {}", report.model, fmt::join(misses, "; ")));
}

}  // namespace brisk
