// Server-sent events, as they arrive in pieces of any size (WHATWG HTML, 9.2; only the field `data`
// is looked at, and lines end with LF or CR LF).
#pragma once

#include <absl/functional/function_ref.h>

#include <string>
#include <string_view>

namespace brisk {

inline constexpr size_t kSseEventBytesMax = 1 << 20;

class SseReader {
 public:
  // Takes the next bytes and calls `on_data` with the data of each event that is now complete. The
  // view lives until it returns. False: an event is longer than kSseEventBytesMax; give up.
  [[nodiscard]] bool push(std::string_view bytes,
                          absl::FunctionRef<void(std::string_view)> on_data);

  // Forgets what is incomplete: the next bytes begin a stream.
  void reset();

 private:
  void take_line(std::string_view line, absl::FunctionRef<void(std::string_view)> on_data);

  std::string line_;  // incomplete
  std::string data_;  // of the event so far
  bool has_data_ = false;
};

}  // namespace brisk
