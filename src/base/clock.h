// Time as a value that can be supplied: the server uses the machine's clock, simulations their own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace brisk {

// Nanoseconds since an arbitrary fixed start; never goes back.
struct Instant {
  int64_t ns = 0;
  auto operator<=>(const Instant&) const = default;
};

inline double seconds_between(Instant from, Instant to) {
  return static_cast<double>(to.ns - from.ns) * 1e-9;
}

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;  // any thread
};

class SteadyClock final : public Clock {
 public:
  Instant now() const override {
    const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
    return {std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count()};
  }
};

// A clock that moves only when told to.
class ManualClock final : public Clock {
 public:
  Instant now() const override { return {ns_.load()}; }
  void advance(double seconds) { ns_ += static_cast<int64_t>(seconds * 1e9); }

 private:
  std::atomic<int64_t> ns_{0};
};

}  // namespace brisk
