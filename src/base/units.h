// Small arithmetic on sizes, and sizes as people read them.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>

namespace brisk {

// Smallest n with n * unit >= value. REQUIRES: value >= 0, unit > 0.
template <std::integral T>
constexpr T ceil_div(T value, T unit) {
  return static_cast<T>((value + unit - 1) / unit);
}

template <std::integral T>
constexpr T round_up(T value, T unit) {
  return static_cast<T>(ceil_div(value, unit) * unit);
}

// a * b when it fits into 64 bits; false otherwise. For sizes that come from files.
[[nodiscard]] inline bool checked_multiply(uint64_t a, uint64_t b, uint64_t* product) {
  return !__builtin_mul_overflow(a, b, product);
}

// "1.21 GiB", "260.0 K", "12.3 ms".
std::string human_bytes(uint64_t bytes);
std::string human_count(double count);
std::string human_seconds(double seconds);

}  // namespace brisk
