// Traces: whatever the bytes, reading them ends with rows within their limits or with an error, and
// rows make a workload.
#include <cstdlib>
#include <string_view>

#include "plan/load/trace.h"
#include "plan/load/workload.h"

namespace {

void must(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kRowsMax = 1000;
  auto rows = brisk::read_trace({reinterpret_cast<const char*>(data), size}, kRowsMax);
  if (!rows.ok()) return 0;
  must(!rows->empty() && rows->size() <= kRowsMax);
  double before_s = 0;
  for (const brisk::TraceRow& row : *rows) {
    must(row.at_s >= before_s);
    must(row.prompt_tokens >= 0 && row.prompt_tokens <= brisk::kTraceTokensMax);
    must(row.output_tokens >= 0 && row.output_tokens <= brisk::kTraceTokensMax);
    before_s = row.at_s;
  }
  brisk::WorkloadOptions options;
  options.trace = *std::move(rows);
  options.length_scale = 0.5;
  options.trace_times = true;
  for (const brisk::LoadRequest& request : brisk::make_workload(options).requests) {
    must(brisk::prompt_tokens(request) >= 1 && request.output_tokens >= 1);
  }
  return 0;
}
