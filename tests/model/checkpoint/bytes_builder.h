// Builds files byte by byte for tests, correct and otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace brisk::testing {

class BytesBuilder {
 public:
  template <class T>
  BytesBuilder& put(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    std::memcpy(bytes_.data() + at, &value, sizeof(T));
    return *this;
  }

  BytesBuilder& raw(std::string_view text) {
    const size_t at = bytes_.size();
    bytes_.resize(at + text.size());
    if (!text.empty()) std::memcpy(bytes_.data() + at, text.data(), text.size());
    return *this;
  }

  // A string as GGUF stores it.
  BytesBuilder& string(std::string_view text) { return put<uint64_t>(text.size()).raw(text); }

  BytesBuilder& pad_to(size_t multiple) {
    while (bytes_.size() % multiple != 0) bytes_.push_back(std::byte{0});
    return *this;
  }

  BytesBuilder& zeros(size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::vector<std::byte> bytes_;
};

// Gives `read` the file cut after every byte, and with every bit of its first `flipped` bytes
// turned over. Each variant lies in memory of exactly its size, so that a sanitizer sees any read
// beyond it.
inline void read_damaged(std::span<const std::byte> file, size_t flipped,
                         const std::function<void(std::span<const std::byte>)>& read) {
  for (size_t size = 0; size < file.size(); ++size) {
    const std::vector<std::byte> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
    read(cut);
  }
  for (size_t at = 0; at < flipped && at < file.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<std::byte> damaged(file.begin(), file.end());
      damaged[at] ^= static_cast<std::byte>(1 << bit);
      read(damaged);
    }
  }
}

}  // namespace brisk::testing
