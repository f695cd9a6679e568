#include "plan/load/sse_reader.h"

namespace brisk {

bool SseReader::push(std::string_view bytes, absl::FunctionRef<void(std::string_view)> on_data) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (line_.size() + data_.size() + piece.size() > kSseEventBytesMax) return false;
    if (end == std::string_view::npos) {
      line_ += piece;
      return true;
    }
    bytes.remove_prefix(end + 1);
    if (line_.empty()) {
      take_line(piece, on_data);
    } else {
      line_ += piece;
      take_line(line_, on_data);
      line_.clear();
    }
  }
  return true;
}

void SseReader::take_line(std::string_view line,
                          absl::FunctionRef<void(std::string_view)> on_data) {
  constexpr std::string_view kData = "data:";
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) {
    if (has_data_) on_data(data_);
    data_.clear();
    has_data_ = false;
  } else if (line.starts_with(kData)) {
    line.remove_prefix(kData.size());
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
  }
}

void SseReader::reset() {
  line_.clear();
  data_.clear();
  has_data_ = false;
}

}  // namespace brisk
