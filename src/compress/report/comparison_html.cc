#include "compress/report/comparison_html.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <optional>

#include "base/html_page.h"
#include "base/svg_chart.h"
#include "compress/report/quality_text.h"

namespace brisk {
namespace {

// A figure of a report, where it was measured.
struct Axis {
  std::string name;
  std::string label;  // with its unit
  std::function<std::optional<double>(const QualityReport&)> value;
};

Axis size_axis() {
  return {"size", "size, MiB", [](const QualityReport& report) -> std::optional<double> {
            if (report.bytes == 0) return std::nullopt;  // it is behind a server
            return static_cast<double>(report.bytes) / (1 << 20);
          }};
}

Axis speed_axis() {
  return {"speed", "decode, tokens/s",
          [](const QualityReport& report) { return report.decode_tokens_per_s; }};
}

Axis kl_axis() {
  return {"mean KL", "mean KL, nats a token",
          [](const QualityReport& report) -> std::optional<double> {
            if (!report.text || !report.text->divergence) return std::nullopt;
            return report.text->divergence->kl.value;
          }};
}

Axis perplexity_axis() {
  return {"perplexity", "perplexity", [](const QualityReport& report) -> std::optional<double> {
            if (!report.text) return std::nullopt;
            return report.text->perplexity.value;
          }};
}

Axis accuracy_axis(const std::string& name) {
  return {name, name + ", % right", [name](const QualityReport& report) -> std::optional<double> {
            for (const Accuracy& accuracy : report.accuracies) {
              if (accuracy.name == name) return 100 * accuracy.score.rate();
            }
            return std::nullopt;
          }};
}

// A dot for each report that has both; empty when none has.
std::string plot(const std::vector<QualityReport>& reports, const Axis& x, const Axis& y) {
  Chart chart = {.title = y.name + " against " + x.name,
                 .x_label = x.label,
                 .y_label = y.label,
                 .dots = true,
                 .names_at_points = true};
  for (const QualityReport& report : reports) {
    const auto across = x.value(report), up = y.value(report);
    if (!across || !up || !std::isfinite(*across) || !std::isfinite(*up)) continue;
    chart.series.push_back({.name = report.model, .points = {{*across, *up}}});
  }
  return chart.series.empty() ? "" : to_svg(chart);
}

std::string table_of(const std::vector<QualityReport>& reports) {
  std::string html = "<div class=\"wide\"><table class=\"names\">\n";
  const char* cell = "th";
  for (const std::vector<std::string>& row : comparison_rows(reports)) {
    html += "<tr>";
    for (const std::string& text : row)
      html += fmt::format("<{0}>{1}</{0}>", cell, escape_html(text));
    html += "</tr>\n";
    cell = "td";
  }
  return html + "</table></div>\n";
}

std::string gate_section(const std::vector<std::string>& misses) {
  if (misses.empty()) return "";
  std::string html = "<div class=\"missed\"><h2>The gate is missed</h2><ul>\n";
  for (const std::string& miss : misses) html += "<li>" + escape_html(miss) + "</li>\n";
  return html + "</ul></div>\n";
}

}  // namespace

std::string to_html(const ComparisonPage& page) {
  std::string html = gate_section(page.misses) + table_of(page.reports);
  const std::string against_size = plot(page.reports, size_axis(), kl_axis());
  const bool compared = !against_size.empty();
  const Axis loss = compared ? kl_axis() : perplexity_axis();
  html += "<div class=\"charts\">\n";
  html += compared ? against_size : plot(page.reports, size_axis(), loss);
  html += plot(page.reports, size_axis(), speed_axis());
  html += plot(page.reports, speed_axis(), loss);
  for (const char* name : {"tasks", "choices_norm", "questions"}) {
    html += plot(page.reports, size_axis(), accuracy_axis(name));
  }
  html +=
      "</div>\n<p>Intervals are of 95 % confidence. KL is KL(reference || model); flips are tokens "
      "where another one than the reference's is the most likely.</p>\n";
  return html_page(page.title, page.command, html);
}

}  // namespace brisk
