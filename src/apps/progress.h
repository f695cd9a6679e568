// One line on stderr that says how far long work is; silent when stderr is not a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace brisk {

// One thread at a time.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();  // clears the line

  // Shows the share of bytes done, at most ten times a second.
  void show(uint64_t done, uint64_t total);
  // The same for things that are counted: "requests 12 of 100".
  void show_items(uint64_t done, uint64_t total);
  // A line of the caller's, which is only made when it is due.
  void show_text(const std::function<std::string()>& text);

 private:
  bool is_due();

  const std::string what_;
  const bool visible_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point shown_;
};

}  // namespace brisk
