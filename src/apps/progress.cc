#include "apps/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/units.h"

namespace brisk {

using std::chrono::steady_clock;

Progress::Progress(std::string what)
    : what_(std::move(what)),
      visible_(::isatty(STDERR_FILENO) == 1),
      start_(steady_clock::now()),
      shown_(start_) {}

Progress::~Progress() {
  if (visible_) fmt::print(stderr, "\r\x1b[K");
}

bool Progress::is_due() {
  const auto now = steady_clock::now();
  if (!visible_ || now - shown_ < std::chrono::milliseconds(100)) return false;
  shown_ = now;
  return true;
}

void Progress::show_items(uint64_t done, uint64_t total) {
  if (!is_due()) return;
  fmt::print(stderr, "\r{} {} of {}\x1b[K", what_, done, total);
  std::fflush(stderr);
}

void Progress::show_text(const std::function<std::string()>& text) {
  if (!is_due()) return;
  fmt::print(stderr, "\r{} {}\x1b[K", what_, text());
  std::fflush(stderr);
}

void Progress::show(uint64_t done, uint64_t total) {
  if (!is_due()) return;
  const double seconds = std::chrono::duration<double>(shown_ - start_).count();
  const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  fmt::print(stderr, "\r{} {:3.0f} %  {} of {}  {}/s\x1b[K", what_, 100 * std::min(share, 1.0),
             human_bytes(done), human_bytes(total),
             human_bytes(static_cast<uint64_t>(static_cast<double>(done) / seconds)));
  std::fflush(stderr);
}

}  // namespace brisk
