// Reads little-endian values from a file's bytes, never past their end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace brisk {

class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  // The next `count` bytes. False, and nothing is consumed, when there are fewer.
  [[nodiscard]] bool take(uint64_t count, std::span<const std::byte>* out) {
    if (count > remaining()) return false;
    *out = bytes_.subspan(static_cast<size_t>(position_), static_cast<size_t>(count));
    position_ += count;
    return true;
  }

  template <class T>
  [[nodiscard]] bool read(T* out) {
    std::span<const std::byte> raw;
    if (!take(sizeof(T), &raw)) return false;
    std::memcpy(out, raw.data(), sizeof(T));
    return true;
  }

  // A string as GGUF stores it: 64-bit length, then bytes.
  [[nodiscard]] bool read_string(std::string_view* out) {
    uint64_t length = 0;
    std::span<const std::byte> raw;
    if (!read(&length) || !take(length, &raw)) return false;
    *out = {reinterpret_cast<const char*>(raw.data()), raw.size()};
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t position_ = 0;
};

}  // namespace brisk
