#include "base/units.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace brisk {
namespace {

std::string scaled(double value, double step, const std::array<const char*, 5>& names) {
  size_t i = 0;
  while (std::abs(value) >= step && i + 1 < names.size()) {
    value /= step;
    ++i;
  }
  if (i == 0 && value == std::floor(value)) return fmt::format("{:.0f} {}", value, names[0]);
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : 1, names[i]);
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  return scaled(static_cast<double>(bytes), 1024, {"B", "KiB", "MiB", "GiB", "TiB"});
}

std::string human_count(double count) { return scaled(count, 1000, {"", "K", "M", "B", "T"}); }

std::string human_seconds(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  if (seconds < 120) return fmt::format("{:.2f} s", seconds);
  return fmt::format("{:.0f} min {:.0f} s", std::floor(seconds / 60), std::fmod(seconds, 60));
}

}  // namespace brisk
