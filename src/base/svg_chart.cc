#include "base/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "base/html_page.h"

namespace brisk {
namespace {

constexpr double kWidth = 640, kHeight = 300;
constexpr double kLeft = 64, kRight = 24, kTop = 32, kBottom = 48;
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

std::string draw_dots(const ChartSeries& series, const Axes& axes, const char* color,
                      double radius) {
  std::string svg;
  for (const auto& [x, y] : series.points) {
    svg += fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}"/>)", axes.x(x),
                       axes.y(y), radius, color);
  }
  return svg;
}

std::string draw_line(const ChartSeries& series, const Axes& axes, const char* color) {
  std::string points;
  for (const auto& [x, y] : series.points) {
    points += fmt::format("{:.1f},{:.1f} ", axes.x(x), axes.y(y));
  }
  return fmt::format(R"(<polyline fill="none" stroke="{}" stroke-width="2" points="{}"/>)", color,
                     points);
}

std::string in_color(const char* color, const std::string& svg) {
  return fmt::format(R"(<g fill="{}">{}</g>)", color, svg);
}

std::string draw_legend(const Chart& chart) {
  std::string svg;
  if (chart.series.size() < 2) return svg;
  double right = kWidth - kRight;
  for (size_t i = chart.series.size(); i-- > 0;) {
    const std::string& name = chart.series[i].name;
    svg += in_color(kColors[i % kColors.size()], text_at(right, kTop - 14, "end", name));
    constexpr double kLetter = 8;
    right -= kLetter * static_cast<double>(name.size() + 2);
  }
  return svg;
}

// Beside each series' last point, on the side where there is room, and not over another name.
std::string draw_names(const Chart& chart, const Axes& axes) {
  constexpr double kGap = 8, kLine = 13;
  std::string svg;
  std::vector<std::pair<double, double>> taken;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const ChartSeries& series = chart.series[i];
    if (series.points.empty()) continue;
    const double x = axes.x(series.points.back().first);
    double y = std::max(axes.y(series.points.back().second) + 4, kTop + kLine);
    const bool is_left = x < (kLeft + kWidth - kRight) / 2;
    const auto overlaps = [&](const std::pair<double, double>& other) {
      return std::abs(other.first - x) < kWidth / 4 && std::abs(other.second - y) < kLine;
    };
    while (y > kTop && std::ranges::any_of(taken, overlaps)) y -= kLine;
    taken.emplace_back(x, y);
    svg += in_color(kColors[i % kColors.size()], text_at(is_left ? x + kGap : x - kGap, y,
                                                         is_left ? "start" : "end", series.name));
  }
  return svg;
}

// All but the title.
std::string draw(const Chart& chart) {
  const Axes axes = fit_axes(chart);
  std::string svg = draw_grid(chart, axes);
  const double radius = chart.names_at_points ? 4 : 2;
  for (size_t i = chart.series.size(); i-- > 0;) {
    const char* const color = kColors[i % kColors.size()];
    svg += chart.dots ? draw_dots(chart.series[i], axes, color, radius)
                      : draw_line(chart.series[i], axes, color);
  }
  return svg + (chart.names_at_points ? draw_names(chart, axes) : draw_legend(chart));
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

}  // namespace brisk
