#include "base/lines.h"

#include <algorithm>
#include <cstdint>

#include "base/status.h"

namespace brisk {

absl::Status for_each_line(std::string_view text,
                           const std::function<absl::Status(std::string_view line)>& read) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (const absl::Status status = read(line); !status.ok()) {
      return annotate(status, fmt::format("line {}", number));
    }
  }
  return absl::OkStatus();
}

}  // namespace brisk
