#include "plan/load/report_html.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/html_page.h"
#include "base/percentile.h"
#include "base/svg_chart.h"

namespace brisk {
namespace {

constexpr size_t kPointsMax = 1000;  // of a plot

// Every how-manieth of `size` is shown.
size_t stride_for(size_t size) { return std::max<size_t>(1, (size + kPointsMax - 1) / kPointsMax); }

// How many percent of the values are at most x (in ms).
ChartSeries cumulative(const std::string& name, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  ChartSeries series = {.name = name, .points = {}};
  if (seconds.empty()) return series;
  constexpr int kSteps = 200;
  for (int i = 0; i <= kSteps; ++i) {
    const double fraction = static_cast<double>(i) / kSteps;
    series.points.emplace_back(1e3 * percentile(seconds, fraction), 100 * fraction);
  }
  return series;
}

template <class Value>
std::vector<double> of_served(const LoadReport& report, const Value& value) {
  std::vector<double> values;
  for (const RequestResult& result : report.record.results) {
    if (result.outcome == LoadOutcome::kServed) values.push_back(value(result));
  }
  return values;
}

std::string latency_charts(const LoadReport& report) {
  const auto ttft = [](const RequestResult& result) { return result.ttft_s; };
  const auto e2e = [](const RequestResult& result) { return result.e2e_s; };
  std::vector<double> tpots = of_served(report, tpot_s);
  std::erase_if(tpots, [](double seconds) { return seconds < 0; });
  return to_svg({.title = "Time to first token, whole answer",
                 .x_label = "ms",
                 .y_label = "% of requests",
                 .series = {cumulative("TTFT", of_served(report, ttft)),
                            cumulative("E2E", of_served(report, e2e))}}) +
         to_svg({.title = "Time per output token, gaps between tokens",
                 .x_label = "ms",
                 .y_label = "%",
                 .series = {cumulative("TPOT", std::move(tpots)),
                            cumulative("ITL", report.record.gaps_s)}});
}

std::string throughput_chart(const LoadReport& report) {
  ChartSeries series = {.name = "outputs", .points = {}};
  const std::vector<int64_t>& timeline = report.record.timeline;
  constexpr size_t kBars = 120;
  const size_t width = std::max<size_t>(1, timeline.size() / kBars);
  for (size_t start = 0; start + width <= timeline.size(); start += width) {
    int64_t outputs = 0;
    for (size_t i = start; i < start + width; ++i) outputs += timeline[i];
    const double seconds = static_cast<double>(width) * kTimelineSeconds;
    const double middle_s = static_cast<double>(start) * kTimelineSeconds + seconds / 2;
    series.points.emplace_back(middle_s, static_cast<double>(outputs) / seconds);
  }
  return to_svg({.title = "Output over time",
                 .x_label = "s",
                 .y_label = "events with output/s",
                 .series = {std::move(series)}});
}

std::string ttft_timeline(const LoadReport& report) {
  ChartSeries series = {.name = "TTFT", .points = {}};
  const auto& results = report.record.results;
  for (size_t i = 0; i < results.size(); i += stride_for(results.size())) {
    if (results[i].outcome != LoadOutcome::kServed) continue;
    series.points.emplace_back(results[i].scheduled_s, 1e3 * results[i].ttft_s);
  }
  return to_svg({.title = "Time to first token, by arrival",
                 .x_label = "arrival, s",
                 .y_label = "ms",
                 .dots = true,
                 .series = {std::move(series)}});
}

std::string sweep_section(const SweepReport& sweep) {
  ChartSeries median = {.name = "median TTFT", .points = {}};
  ChartSeries p99 = {.name = "P99 TTFT", .points = {}};
  ChartSeries tokens = {.name = "output tokens/s", .points = {}};
  ChartSeries good = {.name = "% within the SLO", .points = {}};
  std::string rows;
  for (const auto& [value, report] : sweep.points) {
    median.points.emplace_back(value, 1e3 * report.ttft.median);
    p99.points.emplace_back(value, 1e3 * report.ttft.p99);
    tokens.points.emplace_back(value, report.output_tokens_per_s);
    good.points.emplace_back(value, 100 * report.goodput_fraction);
    rows += fmt::format(
        "<tr><td>{:g}</td><td>{:.2f}</td><td>{:.1f}</td><td>{:.1f}</td><td>{:.1f}</td>"
        "<td>{:.1f} %</td></tr>\n",
        value, report.requests_per_s, report.output_tokens_per_s, 1e3 * report.ttft.p99,
        1e3 * report.tpot.p99, 100 * report.goodput_fraction);
  }
  const char* const over = name_of(sweep.over);
  std::string html = fmt::format(
      "<h2>Sweep over {}</h2><p>{}</p><table><tr><th>{}</th><th>requests/s</th><th>output "
      "tokens/s</th><th>P99 TTFT, ms</th><th>P99 TPOT, ms</th><th>within the SLO</th></tr>\n{}"
      "</table><div class=\"charts\">",
      over, sweep.last_good ? fmt::format("last good: {:g}", *sweep.last_good) : "none was good",
      over, rows);
  html += to_svg({.title = "Latency",
                  .x_label = over,
                  .y_label = "ms",
                  .series = {std::move(median), std::move(p99)}});
  html += to_svg({.title = "Throughput",
                  .x_label = over,
                  .y_label = "output tokens/s",
                  .series = {std::move(tokens)}});
  html += to_svg({.title = "Goodput",
                  .x_label = over,
                  .y_label = "% within the SLO",
                  .series = {std::move(good)}});
  return html + "</div>\n";
}

}  // namespace

std::string to_html(const HtmlReport& html) {
  const LoadReport& report = *html.report;
  std::string body;
  if (html.sweep != nullptr) body += sweep_section(*html.sweep) + "<h2>The last run</h2>\n";
  body += "<pre>" + escape_html(to_report_text(report, html.settings)) + "</pre>\n";
  body += "<div class=\"charts\">\n" + latency_charts(report) + throughput_chart(report) +
          ttft_timeline(report) + "</div>\n";
  return html_page(html.title, html.command, body);
}

}  // namespace brisk
