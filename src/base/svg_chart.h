// Line and dot charts as SVG, inside an HTML page or alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace brisk {

struct ChartSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (x, y), finite
};

struct Chart {
  std::string title = {};
  std::string x_label = {};
  std::string y_label = {};
  bool dots = false;  // else lines
  // Names of series stand at their last points, not in a legend.
  bool names_at_points = false;
  std::vector<ChartSeries> series = {};
};

// Both axes include 0.
std::string to_svg(const Chart& chart);

// The same as a file of its own.
std::string to_svg_file(const Chart& chart);

}  // namespace brisk
