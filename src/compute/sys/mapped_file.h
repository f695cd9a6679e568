// A file mapped read-only into memory: checkpoints are used where they lie, never copied whole.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace brisk {

class MappedFile {
 public:
  // Errors: NotFound when there is no such file, InvalidArgument when it is not a regular file or
  // is empty, Unavailable when the system refuses.
  static absl::StatusOr<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Valid until this object is destroyed; the file must not shrink meanwhile.
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

// The whole file as a string, for small ones. Errors as above, and ResourceExhausted over the
// limit.
absl::StatusOr<std::string> read_file(const std::string& path, size_t bytes_max);

// Writes `contents` beside `path` and renames it there, so that a reader sees all of it or nothing.
absl::Status write_file_atomically(const std::string& path, std::string_view contents);

}  // namespace brisk
