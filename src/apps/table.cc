#include "apps/table.h"

#include <algorithm>
#include <cstddef>

namespace brisk {
namespace {

// Characters, not bytes.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

std::string table(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<Align>& align) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const std::string space(widths[i] - width_of(rows[r][i]), ' ');
      const bool right = i < align.size() && align[i] == Align::kRight;
      line += (i > 0 ? "  " : "") + (right ? space + rows[r][i] : rows[r][i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (r > 0) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      text += (i > 0 ? "  " : "") + std::string(widths[i], '-');
    }
    text += "\n";
  }
  return text;
}

}  // namespace brisk
