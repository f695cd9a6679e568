// Writes a large file piece by piece under a temporary name and gives it its own name at the end,
// so that a reader sees all of it or nothing.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace brisk {

// One thread at a time.
class FileWriter {
 public:
  // Errors: Unavailable with the system's reason.
  static absl::StatusOr<FileWriter> create(const std::string& path);

  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&& other) noexcept;
  ~FileWriter();  // not finished: nothing remains

  absl::Status append(std::span<const std::byte> bytes);
  absl::Status append(std::string_view text) {
    return append(std::as_bytes(std::span(text.data(), text.size())));
  }

  // Everything is on the disk and has its name. REQUIRES: not called before.
  absl::Status finish();

  uint64_t bytes_written() const { return bytes_written_; }

 private:
  FileWriter(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

  std::string path_;
  std::string temporary_;
  int fd_ = -1;  // -1: finished or moved from
  uint64_t bytes_written_ = 0;
};

}  // namespace brisk
