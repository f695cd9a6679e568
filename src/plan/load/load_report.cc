#include "plan/load/load_report.h"

#include "plan/load/slo.h"

namespace brisk {
namespace {

// Counts, tokens and the latencies of requests.
void add_results(const Slo& slo, LoadReport& report) {
  std::vector<double> ttft, tpot, e2e, refusal, wait;
  for (const RequestResult& result : report.record.results) {
    wait.push_back(result.wait_s);
    switch (result.outcome) {
      case LoadOutcome::kServed:
        ++report.served;
        report.prompt_tokens += result.prompt_tokens;
        report.cached_tokens += result.cached_tokens;
        report.output_tokens += result.output_tokens;
        if (meets(slo, result)) ++report.good;
        ttft.push_back(result.ttft_s);
        e2e.push_back(result.e2e_s);
        if (tpot_s(result) >= 0) tpot.push_back(tpot_s(result));
        break;
      case LoadOutcome::kRefused:
        ++report.refused;
        refusal.push_back(result.e2e_s);
        break;
      case LoadOutcome::kFailed:
        ++report.failed;
        break;
    }
  }
  report.ttft = summarize(std::move(ttft));
  report.tpot = summarize(std::move(tpot));
  report.e2e = summarize(std::move(e2e));
  report.refusal = summarize(std::move(refusal));
  report.wait = summarize(std::move(wait));
}

}  // namespace

double tpot_s(const RequestResult& result) {
  if (result.output_tokens < 2) return -1;
  return (result.e2e_s - result.ttft_s) / static_cast<double>(result.output_tokens - 1);
}

LoadReport make_load_report(LoadRecord record, const Slo& slo) {
  LoadReport report;
  report.record = std::move(record);
  report.duration_s = report.record.duration_s;
  add_results(slo, report);
  report.itl = summarize(report.record.gaps_s);
  const auto total = static_cast<double>(report.record.results.size());
  if (total > 0) report.goodput_fraction = static_cast<double>(report.good) / total;
  if (report.duration_s <= 0) return report;
  const auto per_s = [&](int64_t count) { return static_cast<double>(count) / report.duration_s; };
  report.requests_per_s = per_s(report.served);
  report.good_per_s = per_s(report.good);
  report.output_tokens_per_s = per_s(report.output_tokens);
  report.total_tokens_per_s = per_s(report.output_tokens + report.prompt_tokens);
  report.client_cpu = report.record.client_cpu_s / report.duration_s;
  return report;
}

}  // namespace brisk
