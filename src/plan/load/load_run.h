// Puts a server under load and tells what it was like. One thread, the caller's: asynchronous
// sockets, one for each request in flight.
//
// In an open loop requests arrive at their times whatever the server does, and their latencies are
// counted from then, so that a slow server cannot slow down what measures it ("coordinated
// omission"). In a closed loop a request arrives when there is room for it.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <string>

#include "plan/load/load_report.h"
#include "plan/load/prompt_writer.h"
#include "plan/load/target.h"
#include "plan/load/workload.h"

namespace brisk {

enum class LoadEndpoint : uint8_t { kCompletions, kChat };

struct LoadRunOptions {
  LoadTarget target;
  std::string model;
  LoadEndpoint endpoint = LoadEndpoint::kCompletions;
  PromptAlphabet alphabet = PromptAlphabet::of_words();  // chat takes words only
  int concurrency_max = 8;  // in flight at once; open loop: what arrives beyond waits, and counts
  int64_t warmup = 0;       // requests that are sent before and not counted
  double timeout_s = 600;   // of a request, from when it is sent
  bool ignore_eos = true;   // outputs have exactly the length asked for
  Slo slo;
};

struct LoadProgress {
  int64_t ended = 0;
  int64_t total = 0;
  bool warmup = false;
};

// Errors: Unavailable (no server there, or the process may not open that many connections). That
// requests fail is no error: the report counts them.
absl::StatusOr<LoadReport> run_load(const LoadRunOptions& options, const Workload& workload,
                                    const std::function<void(const LoadProgress&)>& progress);

// The body of one request.
std::string request_body(const LoadRunOptions& options, const LoadRequest& request, uint64_t seed);

}  // namespace brisk
