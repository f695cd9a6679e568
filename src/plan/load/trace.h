// Arrival traces that people replay. Two public formats are read:
// - Azure LLM inference traces, csv: TIMESTAMP,ContextTokens,GeneratedTokens
// - Mooncake traces, one JSON object a line: timestamp (ms), input_length, output_length, hash_ids;
//   each id names a block of 512 prompt tokens, equal ids mean equal blocks after equal prefixes.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace brisk {

inline constexpr int64_t kTraceRowsMax = 1'000'000;
inline constexpr int64_t kTraceTokensMax = 1 << 24;              // of one prompt or output
inline constexpr uint64_t kTraceBlockIdEnd = uint64_t{1} << 62;  // ids are below
inline constexpr int kMooncakeBlockTokens = 512;

struct TraceRow {
  double at_s = 0;  // from the first row on
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  std::vector<uint64_t> blocks;  // of the prompt, in order; empty when the trace has none
};

// At most the first `rows_max` rows of a trace, in order of time; the format is told by the first
// character. Text may be anything. Errors: InvalidArgument with the number of the line.
absl::StatusOr<std::vector<TraceRow>> read_trace(std::string_view text,
                                                 int64_t rows_max = kTraceRowsMax);

}  // namespace brisk
