// Where a model's time goes on this machine, operation by operation, against what the machine
// allows.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compute/backend/op_trace.h"
#include "plan/bench/model_bench.h"
#include "plan/bench/work.h"

namespace brisk {

struct ProfileRow {
  OpKind kind = OpKind::kEmbed;
  int64_t calls = 0;   // by one member
  double seconds = 0;  // the mean over members
  double share = 0;    // of the test
  Work work;
  double fraction_of_limit = 0;  // 0: its work is not counted
};

struct ProfileReport {
  std::string test;
  int batch = 1;
  int threads = 0;
  const char* isa = "";
  MachineLimits limits;            // as they were before and after: the mean
  double seconds = 0;              // of the whole test
  std::vector<ProfileRow> rows;    // largest share first; rows without time are left out
  std::unique_ptr<OpTrace> trace;  // every span of every member
};

// Runs the test once to warm up and once under the trace. Errors as bench_model.
absl::StatusOr<ProfileReport> profile_model(
    const Model& model, const BenchTest& test, const BenchOptions& options,
    const std::function<void(const std::string&)>& progress);

// The spans as Chrome trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing open.
std::string to_chrome_trace(const OpTrace& trace);

}  // namespace brisk
