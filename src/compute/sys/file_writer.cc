#include "compute/sys/file_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace brisk {
namespace {

absl::Status write_error(const std::string& path) {
  return system_error("{}: cannot write: {}", path, std::strerror(errno));
}

}  // namespace

absl::StatusOr<FileWriter> FileWriter::create(const std::string& path) {
  std::string temporary = fmt::format("{}.{}.part", path, ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return write_error(temporary);
  return FileWriter(path, std::move(temporary), fd);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)),
      bytes_written_(other.bytes_written_) {}

FileWriter& FileWriter::operator=(FileWriter&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(fd_, other.fd_);
  std::swap(bytes_written_, other.bytes_written_);
  return *this;
}

FileWriter::~FileWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

absl::Status FileWriter::append(std::span<const std::byte> bytes) {
  BRISK_CHECK(fd_ >= 0);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return write_error(path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
    bytes_written_ += static_cast<uint64_t>(written);
  }
  return absl::OkStatus();
}

absl::Status FileWriter::finish() {
  BRISK_CHECK(fd_ >= 0);
  if (::fsync(fd_) != 0) return write_error(path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return write_error(path_);
  ::close(std::exchange(fd_, -1));
  return absl::OkStatus();
}

}  // namespace brisk
