#include "base/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace brisk {
namespace {

constexpr double kWidth = 640, kHeight = 300;
constexpr double kLeft = 64, kRight = 16, kTop = 32, kBottom = 48;
constexpr std::array<const char*, 4> kColors = {"#2a6fdb", "#d9822b", "#2e9e5b", "#a33ea1"};

// From values to places in the picture.
struct Axes {
  double x_max = 1;
  double y_max = 1;
  double x(double value) const { return kLeft + value / x_max * (kWidth - kLeft - kRight); }
  double y(double value) const {
    return kHeight - kBottom - value / y_max * (kHeight - kTop - kBottom);
  }
};

// 1, 2 or 5 times a power of ten, so that about five steps reach `max`.
double tick_step(double max) {
  const double rough = max / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

Axes fit_axes(const Chart& chart) {
  Axes axes = {.x_max = 0, .y_max = 0};
  for (const ChartSeries& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      axes.x_max = std::max(axes.x_max, x);
      axes.y_max = std::max(axes.y_max, y);
    }
  }
  for (double* max : {&axes.x_max, &axes.y_max}) {
    if (*max <= 0) *max = 1;
    const double step = tick_step(*max);
    *max = step * std::ceil(*max / step);
  }
  return axes;
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", x, y, anchor,
                     escape_html(text));
}

std::string draw_grid(const Chart& chart, const Axes& axes) {
  std::string svg;
  constexpr int kTicksMax = 12;
  const double y_step = tick_step(axes.y_max);
  for (int i = 0; i < kTicksMax && i * y_step <= axes.y_max * 1.0001; ++i) {
    const double y = axes.y(i * y_step);
    svg += fmt::format(R"(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft,
                       kWidth - kRight, y, y);
    svg += text_at(kLeft - 6, y + 4, "end", fmt::format("{:g}", i * y_step));
  }
  const double x_step = tick_step(axes.x_max);
  for (int i = 0; i < kTicksMax && i * x_step <= axes.x_max * 1.0001; ++i) {
    svg += text_at(axes.x(i * x_step), kHeight - kBottom + 16, "middle",
                   fmt::format("{:g}", i * x_step));
  }
  svg += text_at((kLeft + kWidth - kRight) / 2, kHeight - 10, "middle", chart.x_label);
  svg += text_at(4, kTop - 14, "start", chart.y_label);
  return svg;
}

std::string draw_series(const ChartSeries& series, const Axes& axes, const char* color, bool dots) {
  std::string svg;
  if (dots) {
    for (const auto& [x, y] : series.points) {
      svg += fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="2" fill="{}"/>)", axes.x(x),
                         axes.y(y), color);
    }
    return svg;
  }
  for (const auto& [x, y] : series.points)
    svg += fmt::format("{:.1f},{:.1f} ", axes.x(x), axes.y(y));
  return fmt::format(R"(<polyline fill="none" stroke="{}" stroke-width="2" points="{}"/>)", color,
                     svg);
}

// All but the title.
std::string draw(const Chart& chart) {
  const Axes axes = fit_axes(chart);
  std::string svg = draw_grid(chart, axes);
  double legend_x = kWidth - kRight;
  for (size_t i = chart.series.size(); i-- > 0;) {
    const char* const color = kColors[i % kColors.size()];
    svg += draw_series(chart.series[i], axes, color, chart.dots);
    if (chart.series.size() < 2) continue;
    svg += fmt::format(R"(<g fill="{}">{}</g>)", color,
                       text_at(legend_x, kTop - 14, "end", chart.series[i].name));
    constexpr double kLetter = 8;
    legend_x -= kLetter * static_cast<double>(chart.series[i].name.size() + 2);
  }
  return svg;
}

}  // namespace

std::string to_svg(const Chart& chart) {
  return fmt::format(
      "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\">{}</svg></figure>\n",
      escape_html(chart.title), kWidth, kHeight, draw(chart));
}

std::string to_svg_file(const Chart& chart) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"12\"><title>{2}</title>"
      "<style>.grid{{stroke:#8884}}</style>"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>{3}</svg>\n",
      kWidth, kHeight, escape_html(chart.title), draw(chart));
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace brisk
