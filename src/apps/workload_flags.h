// Options that say what a server is asked, for the subcommands that ask.
#pragma once

#include <absl/status/status.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "plan/load/workload.h"

namespace brisk {

struct WorkloadFlags {
  std::string prompt_tokens = "512";
  std::string output_tokens = "128";
  std::string trace_file;
  int64_t trace_first = kTraceRowsMax;
  int concurrency = 0;  // 0: not given
  WorkloadOptions workload;

  // Reads the trace and the lengths into `workload`. Errors: InvalidArgument, the file's.
  absl::Status complete();
  // In flight at once, where --concurrency does not say.
  int concurrency_for(const Workload& made) const;
};

void add_length_options(CLI::App& app, WorkloadFlags& flags);
void add_arrival_options(CLI::App& app, WorkloadFlags& flags);
// For actions: a trace is replayed whole unless --requests tells otherwise.
void replay_whole_trace(const CLI::App& app, WorkloadFlags& flags);

}  // namespace brisk
