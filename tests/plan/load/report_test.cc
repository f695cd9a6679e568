#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/svg_chart.h"
#include "plan/load/load_report.h"
#include "plan/load/report_html.h"
#include "plan/load/report_text.h"
#include "plan/load/slo.h"
#include "plan/load/statistics.h"
#include "plan/load/sweep.h"

namespace brisk {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Statistics, SummaryAgreesWithNumpy) {
  const Summary summary = summarize({50, 15, 40, 20, 35});
  EXPECT_DOUBLE_EQ(summary.mean, 32);
  EXPECT_DOUBLE_EQ(summary.median, 35);
  EXPECT_DOUBLE_EQ(summary.p99, 49.6);
  EXPECT_DOUBLE_EQ(summary.max, 50);
  EXPECT_EQ(summarize({}).count, 0);
  EXPECT_DOUBLE_EQ(summarize({7}).p90, 7);
}

TEST(Statistics, AReservoirIsAnEvenSample) {
  Reservoir reservoir(2000);
  for (int i = 0; i < 100000; ++i) reservoir.add(i);
  EXPECT_EQ(reservoir.seen(), 100000);
  ASSERT_EQ(reservoir.values().size(), 2000);
  EXPECT_NEAR(summarize(reservoir.values()).median, 50000, 3000);
}

RequestResult served(double ttft_s, double e2e_s, int64_t tokens) {
  return {.outcome = LoadOutcome::kServed,
          .ttft_s = ttft_s,
          .e2e_s = e2e_s,
          .prompt_tokens = 10,
          .output_tokens = tokens};
}

LoadReport sample_report(const Slo& slo = {}) {
  LoadRecord record;
  record.results = {served(0.1, 1.1, 11),
                    served(0.3, 0.3, 1),
                    served(0.2, 4.2, 21),
                    {.outcome = LoadOutcome::kRefused, .e2e_s = 0.004},
                    {.outcome = LoadOutcome::kFailed, .e2e_s = 9}};
  record.gaps_s = {0.1, 0.2, 0.3};
  record.timeline = {3, 0, 4};
  record.errors = {{"HTTP 500: <b>", 1}};
  record.duration_s = 5;
  record.client_cpu_s = 0.1;
  return make_load_report(std::move(record), slo);
}

TEST(LoadReport, SumsUpByTheDefinitions) {
  const LoadReport report = sample_report();
  EXPECT_EQ(report.served, 3);
  EXPECT_EQ(report.refused, 1);
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.prompt_tokens, 30);
  EXPECT_EQ(report.output_tokens, 33);
  EXPECT_DOUBLE_EQ(report.requests_per_s, 0.6);
  EXPECT_DOUBLE_EQ(report.output_tokens_per_s, 6.6);
  EXPECT_DOUBLE_EQ(report.total_tokens_per_s, 12.6);
  EXPECT_DOUBLE_EQ(report.ttft.median, 0.2);
  EXPECT_EQ(report.tpot.count, 2) << "one token has no time per further token";
  EXPECT_DOUBLE_EQ(report.tpot.mean, (0.1 + 0.2) / 2);
  EXPECT_DOUBLE_EQ(report.itl.median, 0.2);
  EXPECT_DOUBLE_EQ(report.refusal.p99, 0.004);
  EXPECT_DOUBLE_EQ(report.client_cpu, 0.02);
}

TEST(Slo, EveryBoundCountsAndTheUnservedAreNotGood) {
  EXPECT_DOUBLE_EQ(sample_report().goodput_fraction, 0.6);
  EXPECT_EQ(sample_report(*parse_slo("ttft=200ms")).good, 2);
  EXPECT_EQ(sample_report(*parse_slo("tpot=150ms")).good, 2);
  EXPECT_EQ(sample_report(*parse_slo("e2e=1s")).good, 1);
  EXPECT_EQ(sample_report(*parse_slo("ttft=0.25s,tpot=150ms,e2e=1min")).good, 1);
  EXPECT_DOUBLE_EQ(sample_report(*parse_slo("e2e=1s")).good_per_s, 0.2);
}

TEST(Slo, SaysWhatItCannotRead) {
  for (const char* text : {"", "ttft", "ttft=", "ttft=5", "ttft=-5ms", "ttft=5ms,", "p99=5ms",
                           "ttft=nanms", "ttft=5 ms x", "itl=5ms"}) {
    EXPECT_FALSE(parse_slo(text).ok()) << text;
  }
}

TEST(ReportText, HasTheLinesOfVllm) {
  const std::string text = to_report_text(sample_report(), {.has_slo = true});
  EXPECT_THAT(text, HasSubstr("============ Serving Benchmark Result ============\n"));
  EXPECT_THAT(text, HasSubstr("Successful requests:                     3         \n"));
  EXPECT_THAT(text, HasSubstr("Benchmark duration (s):                  5.00      \n"));
  EXPECT_THAT(text, HasSubstr("Request goodput (req/s):                 0.60      \n"));
  EXPECT_THAT(text, HasSubstr("---------------Time to First Token----------------\n"));
  EXPECT_THAT(text, HasSubstr("-----Time per Output Token (excl. 1st token)------\n"));
  EXPECT_THAT(text, HasSubstr("P99 TTFT (ms):                           298.00    \n"));
  EXPECT_THAT(text, HasSubstr("HTTP 500: <b>"));
  EXPECT_THAT(to_report_text({}, {}), Not(HasSubstr("TTFT"))) << "nothing was measured";
}

TEST(ReportJson, HasTheKeysOfVllm) {
  const Json json = to_report_json(sample_report());
  for (const char* key :
       {"duration", "completed", "total_input_tokens", "total_output_tokens", "request_throughput",
        "request_goodput", "output_throughput", "total_token_throughput", "mean_ttft_ms",
        "median_tpot_ms", "p99_itl_ms", "p90_e2el_ms"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_DOUBLE_EQ(json["median_ttft_ms"].get<double>(), 200);
}

TEST(Sweep, StopsAfterTheFirstThatIsNotGood) {
  const auto spec = parse_sweep("rate=1,2,4,8");
  ASSERT_TRUE(spec.ok());
  std::vector<double> ran;
  const auto sweep = run_sweep(*spec, 0.9, [&](double value) -> absl::StatusOr<LoadReport> {
    ran.push_back(value);
    LoadReport report;
    report.goodput_fraction = value < 4 ? 0.95 : 0.5;
    return report;
  });
  ASSERT_TRUE(sweep.ok());
  EXPECT_THAT(ran, ElementsAre(1, 2, 4));
  EXPECT_EQ(sweep->last_good, 2);
  EXPECT_EQ(sweep->points.size(), 3);
}

TEST(Sweep, SaysWhatItCannotRead) {
  EXPECT_EQ(parse_sweep("concurrency=1,64")->over, SweepOver::kConcurrency);
  EXPECT_DOUBLE_EQ(parse_sweep("rate=0.5")->values[0], 0.5);
  for (const char* text : {"", "rate", "rate=", "rate=1,", "rate=2,1", "rate=0,1", "rate=1,x",
                           "users=1", "concurrency=1.5", "rate=inf", "rate=nan", "rate=1;2"}) {
    EXPECT_FALSE(parse_sweep(text).ok()) << text;
  }
}

TEST(ReportHtml, RefersToNothingOutsideAndEscapesWhatOthersSay) {
  SweepReport sweep;
  sweep.points.push_back({.value = 1, .report = sample_report()});
  const std::string page = to_html({.title = "<script>alert(1)</script> at http://a:1",
                                    .command = "brisk load --url 'http://a:1'",
                                    .settings = {},
                                    .sweep = &sweep,
                                    .report = &sweep.points[0].report});
  for (const char* reference : {"src=", "href=", "url(", "@import", "<script", "<link", "<b>"}) {
    EXPECT_THAT(page, Not(HasSubstr(reference)));
  }
  EXPECT_THAT(page, HasSubstr("<polyline"));
  EXPECT_THAT(page, HasSubstr("<circle"));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

TEST(SvgChart, DrawsNothingAndZeros) {
  EXPECT_THAT(to_svg({.title = "t", .series = {}}), Not(HasSubstr("nan")));
  EXPECT_THAT(to_svg({.title = "t", .series = {{"s", {{0, 0}}}}}), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace brisk
