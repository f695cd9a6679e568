#include "apps/gate_flags.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace brisk {
namespace {

// "choices=40", or "40" for all that is measured.
AccuracyFloor parse_floor(const std::string& text) {
  const size_t equals = text.find('=');
  AccuracyFloor floor;
  if (equals != std::string::npos) floor.name = text.substr(0, equals);
  const std::string percent = text.substr(equals == std::string::npos ? 0 : equals + 1);
  double value = -1;
  if (!CLI::detail::lexical_cast(percent, value) || !(value >= 0 && value <= 100)) {
    throw CLI::ValidationError("--min-task", "'" + text +
                                                 "' is neither a percentage nor NAME=PERCENT, "
                                                 "such as choices=40");
  }
  floor.rate = value / 100;
  return floor;
}

// "1.5GiB"; K, KB and KiB are all 1024 bytes, as for the other sizes that flags take.
CLI::AsNumberWithUnit as_bytes() {
  std::map<std::string, double> units = {{"b", 1}};
  double unit = 1;
  for (const char* prefix : {"k", "m", "g", "t"}) {
    unit *= 1024;
    for (const char* end : {"", "b", "ib"}) units[std::string(prefix) + end] = unit;
  }
  return CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_INSENSITIVE, "SIZE");
}

}  // namespace

void add_gate_options(CLI::App& app, Gate* gate) {
  const char* const group = "Gate (missed: exit code 2)";
  app.add_option("--max-kl", gate->kl_max,
                 "Mean KL divergence from the reference, nats a token, at most")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option_function<double>(
         "--max-ppl-increase",
         [gate](double percent) { gate->perplexity_increase_max = percent / 100; },
         "Perplexity above the reference's, in percent, at most")
      ->type_name("PERCENT")
      ->group(group);
  app.add_option_function<std::vector<std::string>>(
         "--min-task",
         [gate](const std::vector<std::string>& floors) {
           for (const std::string& floor : floors) gate->accuracy_min.push_back(parse_floor(floor));
         },
         "Right answers in percent, at least: of tasks, choices, choices_norm or questions "
         "(choices=40), or of each that is measured (40)")
      ->delimiter(',')
      ->type_name("[NAME=]PERCENT")
      ->group(group);
  app.add_option_function<double>(
         "--max-size", [gate](double bytes) { gate->bytes_max = static_cast<uint64_t>(bytes); },
         "Bytes of the weight files, at most, e.g. 1.5GiB")
      ->transform(as_bytes())
      ->check(CLI::Range(0.0, 1e18))
      ->type_name("SIZE")
      ->group(group);
}

}  // namespace brisk
