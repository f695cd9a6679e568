#include "apps/workload_flags.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

constexpr int kConcurrencyClosed = 8;   // unless asked for
constexpr int kConcurrencyOpen = 4096;  // an open loop should not wait for a place

}  // namespace

absl::Status WorkloadFlags::complete() {
  BRISK_ASSIGN_OR_RETURN(workload.prompt, parse_length_range(prompt_tokens));
  BRISK_ASSIGN_OR_RETURN(workload.output, parse_length_range(output_tokens));
  if (trace_file.empty()) return absl::OkStatus();
  constexpr size_t kTraceBytesMax = size_t{1} << 30;
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(trace_file, kTraceBytesMax));
  absl::StatusOr<std::vector<TraceRow>> trace = read_trace(text, trace_first);
  if (!trace.ok()) return annotate(trace.status(), trace_file);
  workload.trace = *std::move(trace);
  return absl::OkStatus();
}

int WorkloadFlags::concurrency_for(const Workload& made) const {
  if (concurrency > 0) return concurrency;
  return made.open_loop ? kConcurrencyOpen : kConcurrencyClosed;
}

void add_length_options(CLI::App& app, WorkloadFlags& flags) {
  WorkloadOptions& workload = flags.workload;
  app.add_option("--prompt-tokens", flags.prompt_tokens, "Length of prompts: 512, or 100-900")
      ->capture_default_str();
  app.add_option("--output-tokens", flags.output_tokens, "Length of outputs: 128, or 50-200")
      ->capture_default_str();
  app.add_option("--shared-prefix-tokens", workload.shared_prefix_tokens,
                 "Tokens in front of every prompt, the same for all")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  app.add_option("--trace", flags.trace_file,
                 "Lengths, times and prefixes from a trace: Azure csv or Mooncake jsonl");
  app.add_option("--first", flags.trace_first, "Only the first rows of the trace")
      ->check(CLI::Range(int64_t{1}, kTraceRowsMax));
  app.add_option("--time-scale", workload.time_scale,
                 "Multiplies the trace's times: 0.5 is twice as fast")
      ->check(CLI::Range(1e-6, 1e6))
      ->capture_default_str();
  app.add_option("--length-scale", workload.length_scale, "Multiplies the trace's lengths")
      ->check(CLI::Range(1e-6, 1e6))
      ->capture_default_str();
  app.add_option("--seed", workload.seed, "Same seed, same requests; a server may have them cached")
      ->capture_default_str();
}

void add_arrival_options(CLI::App& app, WorkloadFlags& flags) {
  WorkloadOptions& workload = flags.workload;
  app.add_option("--requests", workload.requests, "How many; of a trace, all unless given")
      ->check(CLI::Range(int64_t{1}, kLoadRequestsMax))
      ->capture_default_str();
  app.add_option("--concurrency", flags.concurrency,
                 "Requests in flight: a closed loop keeps so many (8), an open loop has at most "
                 "these (4096)")
      ->check(CLI::Range(1, 100000));
  app.add_option("--rate", workload.rate, "Open loop: requests that arrive in a second")
      ->check(CLI::Range(1e-3, 1e6));
  app.add_option("--burstiness", workload.burstiness,
                 "Of arrivals at a rate: 1 is Poisson, less comes in bursts, more is even")
      ->check(CLI::Range(1e-3, 1e6))
      ->capture_default_str();
}

void replay_whole_trace(const CLI::App& app, WorkloadFlags& flags) {
  if (!flags.trace_file.empty() && app.count("--requests") == 0) {
    flags.workload.requests = kLoadRequestsMax;
  }
}

}  // namespace brisk
