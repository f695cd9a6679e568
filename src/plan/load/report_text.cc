#include "plan/load/report_text.h"

#include <fmt/format.h>

#include <string_view>

namespace brisk {
namespace {

constexpr int kWidth = 50;
constexpr double kMsPerS = 1e3;

std::string count_line(std::string_view name, int64_t count) {
  return fmt::format("{:<40} {:<10}\n", fmt::format("{}:", name), count);
}

std::string value_line(std::string_view name, double value) {
  return fmt::format("{:<40} {:<10.2f}\n", fmt::format("{}:", name), value);
}

// Empty when nothing was measured: a column of zeros would look like a result.
std::string latency_block(std::string_view title, std::string_view name, const Summary& summary) {
  if (summary.count == 0) return "";
  std::string text = fmt::format("{:-^{}}\n", title, kWidth);
  const auto line = [&](std::string_view figure, double seconds) {
    text += value_line(fmt::format("{} {} (ms)", figure, name), seconds * kMsPerS);
  };
  line("Mean", summary.mean);
  line("Median", summary.median);
  line("P90", summary.p90);
  line("P99", summary.p99);
  return text;
}

std::string throughput_block(const LoadReport& report, const ReportSettings& settings) {
  std::string text = value_line("Benchmark duration (s)", report.duration_s);
  text += count_line("Total input tokens", report.prompt_tokens);
  if (report.cached_tokens > 0) text += count_line("  of these cached", report.cached_tokens);
  text += count_line("Total generated tokens", report.output_tokens);
  text += value_line("Request throughput (req/s)", report.requests_per_s);
  if (settings.has_slo) {
    text += value_line("Request goodput (req/s)", report.good_per_s);
    text += value_line("Requests within the SLO (%)", 100 * report.goodput_fraction);
  }
  text += value_line("Output token throughput (tok/s)", report.output_tokens_per_s);
  text += value_line("Total token throughput (tok/s)", report.total_tokens_per_s);
  text += count_line("Peak concurrent requests", report.record.in_flight_max);
  text += value_line("Client CPU (% of a core)", 100 * report.client_cpu);
  return text;
}

void add_latency(Json& json, const std::string& name, const Summary& summary) {
  json["mean_" + name + "_ms"] = summary.mean * kMsPerS;
  json["median_" + name + "_ms"] = summary.median * kMsPerS;
  json["p90_" + name + "_ms"] = summary.p90 * kMsPerS;
  json["p99_" + name + "_ms"] = summary.p99 * kMsPerS;
}

}  // namespace

std::string to_report_text(const LoadReport& report, const ReportSettings& settings) {
  std::string text = fmt::format("{:=^{}}\n", " Serving Benchmark Result ", kWidth);
  text += count_line("Successful requests", report.served);
  text += count_line("Failed requests", report.failed);
  text += count_line("Refused requests (429)", report.refused);
  text += throughput_block(report, settings);
  text += latency_block("Time to First Token", "TTFT", report.ttft);
  text += latency_block("Time per Output Token (excl. 1st token)", "TPOT", report.tpot);
  text += latency_block("Inter-token Latency", "ITL", report.itl);
  text += latency_block("End-to-end Latency", "E2E", report.e2e);
  text += latency_block("Time to Refusal", "refusal", report.refusal);
  text += std::string(kWidth, '=') + "\n";
  for (const auto& [error, count] : report.record.errors) {
    text += fmt::format("failed: {}, such as: {}\n", count, error);
  }
  return text;
}

Json to_report_json(const LoadReport& report) {
  Json json = {{"duration", report.duration_s},
               {"completed", report.served},
               {"failed", report.failed},
               {"refused", report.refused},
               {"total_input_tokens", report.prompt_tokens},
               {"total_cached_tokens", report.cached_tokens},
               {"total_output_tokens", report.output_tokens},
               {"request_throughput", report.requests_per_s},
               {"request_goodput", report.good_per_s},
               {"goodput_fraction", report.goodput_fraction},
               {"output_throughput", report.output_tokens_per_s},
               {"total_token_throughput", report.total_tokens_per_s},
               {"max_concurrent_requests", report.record.in_flight_max},
               {"client_cpu", report.client_cpu},
               {"errors", report.record.errors}};
  add_latency(json, "ttft", report.ttft);
  add_latency(json, "tpot", report.tpot);
  add_latency(json, "itl", report.itl);
  add_latency(json, "e2el", report.e2e);
  add_latency(json, "refusal", report.refusal);
  add_latency(json, "send_wait", report.wait);
  return json;
}

}  // namespace brisk
