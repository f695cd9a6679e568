// What a load run found, with the definitions of `vllm bench serve`: TTFT and E2E are counted from
// the scheduled arrival of a request, TPOT is (E2E - TTFT) / (n - 1), ITL is every gap between two
// events that carry output.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "plan/load/statistics.h"

namespace brisk {

enum class LoadOutcome : uint8_t { kServed, kRefused, kFailed };  // refused: HTTP 429

// One request. Times are seconds.
struct RequestResult {
  LoadOutcome outcome = LoadOutcome::kFailed;
  double scheduled_s = 0;  // when it arrived, from the start of the run
  double wait_s = 0;       // from then until it was sent
  double ttft_s = 0;       // served: from its arrival to the first output
  double e2e_s = 0;        // from its arrival to the last output, or to the end when not served
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, as the server says
};

struct Slo {
  double ttft_s = std::numeric_limits<double>::infinity();
  double tpot_s = std::numeric_limits<double>::infinity();
  double e2e_s = std::numeric_limits<double>::infinity();
};

inline constexpr double kTimelineSeconds = 0.1;

// What the client saw, before it is summed up.
struct LoadRecord {
  std::vector<RequestResult> results;     // in order of arrival
  std::vector<double> gaps_s;             // between outputs; a sample when there were very many
  std::vector<int64_t> timeline;          // outputs in each kTimelineSeconds of the run
  std::map<std::string, int64_t> errors;  // what went wrong and how often
  double duration_s = 0;                  // from the start to the end of the last answer
  double client_cpu_s = 0;                // of the thread that made the load
  int in_flight_max = 0;
};

struct LoadReport {
  int64_t served = 0;
  int64_t refused = 0;
  int64_t failed = 0;
  int64_t good = 0;             // served within the SLO
  double goodput_fraction = 0;  // good of all, the refused and failed included
  double duration_s = 0;
  int64_t prompt_tokens = 0;  // of the served, as are all figures from here
  int64_t cached_tokens = 0;
  int64_t output_tokens = 0;
  double requests_per_s = 0;
  double good_per_s = 0;
  double output_tokens_per_s = 0;
  double total_tokens_per_s = 0;
  Summary ttft;  // seconds
  Summary tpot;
  Summary itl;
  Summary e2e;
  Summary refusal;        // time until a refused request was told so
  Summary wait;           // how late requests were sent, of all
  double client_cpu = 0;  // share of one core
  LoadRecord record;
};

// Seconds per output token after the first; negative when there was none.
double tpot_s(const RequestResult& result);

LoadReport make_load_report(LoadRecord record, const Slo& slo);

}  // namespace brisk
