// What is asked of a server, and when: requests as lengths and contents, made from a seed or a
// trace. Prompts are not held as text: a part of a prompt is the name of its contents, and equal
// names give equal tokens, so that shared prefixes really are shared.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "plan/load/trace.h"

namespace brisk {

inline constexpr int64_t kLoadRequestsMax = kTraceRowsMax;

struct PromptPart {
  uint64_t content = 0;  // which; the tokens are a pure function of it and the workload's seed
  int32_t tokens = 0;
};

struct LoadRequest {
  double at_s = 0;  // open loop: when it arrives
  std::vector<PromptPart> prompt;
  int32_t output_tokens = 1;
};

struct Workload {
  std::vector<LoadRequest> requests;  // in order of arrival
  bool open_loop = false;             // else each is sent when there is room for it
  uint64_t seed = 0;
};

struct LengthRange {
  int32_t min = 1;
  int32_t max = 1;
};

// "128", or "64-256" for lengths drawn evenly from it. Errors: InvalidArgument.
absl::StatusOr<LengthRange> parse_length_range(const std::string& text);

struct WorkloadOptions {
  int64_t requests = 100;
  LengthRange prompt = {512, 512};
  LengthRange output = {128, 128};
  int32_t shared_prefix_tokens = 0;  // in front of every prompt, the same for all

  std::vector<TraceRow> trace;  // when not empty, lengths and prefixes come from it
  double time_scale = 1;        // of the trace's times
  double length_scale = 1;      // of the trace's lengths

  // How they arrive: at `rate` when it is set; else the trace's times when `trace_times`; else a
  // closed loop.
  double rate = 0;
  double burstiness = 1;
  bool trace_times = false;
  uint64_t seed = 0;
};

// REQUIRES: requests in 1..kLoadRequestsMax, scales > 0, rate >= 0, burstiness > 0.
Workload make_workload(const WorkloadOptions& options);

// The first `count` requests again, with other contents, in a closed loop.
Workload make_warmup(const Workload& workload, int64_t count);

int64_t prompt_tokens(const LoadRequest& request);

}  // namespace brisk
