#include "plan/load/workload.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "base/status.h"
#include "plan/load/arrivals.h"

namespace brisk {
namespace {

// Contents are numbered: ids of a trace's blocks, then what belongs to one request, then the prefix
// that all share.
constexpr uint64_t kOwnContent = kTraceBlockIdEnd;
constexpr uint64_t kSharedContent = ~uint64_t{0};
constexpr int32_t kRangeMax = 1 << 24;

int32_t scaled_length(int64_t tokens, double scale) {
  const double scaled = std::round(static_cast<double>(tokens) * scale);
  return static_cast<int32_t>(std::clamp(scaled, 1.0, static_cast<double>(kTraceTokensMax)));
}

int32_t draw_length(Rng& rng, LengthRange range) {
  const auto choices = static_cast<uint64_t>(range.max - range.min + 1);
  return range.min + static_cast<int32_t>(rng.next_below(choices));
}

LoadRequest random_request(const WorkloadOptions& options, uint64_t index, Rng& rng) {
  LoadRequest request;
  if (options.shared_prefix_tokens > 0) {
    request.prompt.push_back({kSharedContent, options.shared_prefix_tokens});
  }
  request.prompt.push_back({kOwnContent + index, draw_length(rng, options.prompt)});
  request.output_tokens = draw_length(rng, options.output);
  return request;
}

LoadRequest traced_request(const WorkloadOptions& options, uint64_t index) {
  const TraceRow& row = options.trace[index];
  LoadRequest request;
  request.at_s = row.at_s * options.time_scale;
  request.output_tokens = scaled_length(row.output_tokens, options.length_scale);
  if (options.shared_prefix_tokens > 0) {
    request.prompt.push_back({kSharedContent, options.shared_prefix_tokens});
  }
  int32_t left = scaled_length(row.prompt_tokens, options.length_scale);
  const int32_t block_tokens = scaled_length(kMooncakeBlockTokens, options.length_scale);
  for (const uint64_t block : row.blocks) {
    if (left == 0) break;
    request.prompt.push_back({block, std::min(left, block_tokens)});
    left -= request.prompt.back().tokens;
  }
  if (left > 0) request.prompt.push_back({kOwnContent + index, left});
  return request;
}

absl::StatusOr<int32_t> parse_length(std::string_view text) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > kRangeMax) {
    return invalid_input("'{}' is not a number of tokens; use 1 to {}, or a range such as 64-256",
                         text, kRangeMax);
  }
  return value;
}

}  // namespace

absl::StatusOr<LengthRange> parse_length_range(const std::string& text) {
  const size_t dash = text.find('-');
  LengthRange range;
  BRISK_ASSIGN_OR_RETURN(range.min, parse_length(std::string_view(text).substr(0, dash)));
  range.max = range.min;
  if (dash == std::string::npos) return range;
  BRISK_ASSIGN_OR_RETURN(range.max, parse_length(std::string_view(text).substr(dash + 1)));
  if (range.max < range.min) return invalid_input("the range {} ends before it begins", text);
  return range;
}

Workload make_workload(const WorkloadOptions& options) {
  BRISK_CHECK(options.requests >= 1 && options.requests <= kLoadRequestsMax);
  const bool traced = !options.trace.empty();
  Workload workload;
  workload.seed = options.seed;
  workload.open_loop = options.rate > 0 || (traced && options.trace_times);
  const auto traced_count = static_cast<int64_t>(options.trace.size());
  const int64_t count = traced ? std::min(options.requests, traced_count) : options.requests;
  constexpr uint64_t kLengthStream = 0x1E26;
  Rng lengths(options.seed, kLengthStream);
  workload.requests.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < static_cast<uint64_t>(count); ++i) {
    workload.requests.push_back(traced ? traced_request(options, i)
                                       : random_request(options, i, lengths));
  }
  if (options.rate > 0) {
    const std::vector<double> arrivals = draw_arrivals({.rate = options.rate,
                                                        .burstiness = options.burstiness,
                                                        .count = count,
                                                        .seed = options.seed});
    for (size_t i = 0; i < arrivals.size(); ++i) workload.requests[i].at_s = arrivals[i];
  }
  return workload;
}

Workload make_warmup(const Workload& workload, int64_t count) {
  Workload warmup;
  const auto size = static_cast<int64_t>(workload.requests.size());
  warmup.requests.assign(workload.requests.begin(),
                         workload.requests.begin() + std::min(count, size));
  constexpr uint64_t kOtherSeed = 0x9E3779B97F4A7C15;
  warmup.seed = workload.seed ^ kOtherSeed;
  return warmup;
}

int64_t prompt_tokens(const LoadRequest& request) {
  int64_t tokens = 0;
  for (const PromptPart& part : request.prompt) tokens += part.tokens;
  return tokens;
}

}  // namespace brisk
