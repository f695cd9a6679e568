#include "compute/sys/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status os_error(const std::string& path, const char* action) {
  const int error = errno;
  if (error == ENOENT) return not_found("{}: no such file", path);
  return system_error("{}: cannot {}: {}", path, action, std::strerror(error));
}

absl::Status write_all(int fd, std::string_view contents, const std::string& path) {
  while (!contents.empty()) {
    const ssize_t written = ::write(fd, contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return os_error(path, "write");
    contents.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(fd) != 0) return os_error(path, "write");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::open(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return os_error(path, "open");
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0) return os_error(path, "read");
  if (!S_ISREG(info.st_mode)) return invalid_input("{}: not a regular file", path);
  if (info.st_size == 0) return invalid_input("{}: the file is empty", path);
  const auto size = static_cast<size_t>(info.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (address == MAP_FAILED) return os_error(path, "map");
  return MappedFile({static_cast<const std::byte*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

absl::StatusOr<std::string> read_file(const std::string& path, size_t bytes_max) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  if (file.bytes().size() > bytes_max) {
    return exhausted("{}: {} bytes, more than the limit of {}", path, file.bytes().size(),
                     bytes_max);
  }
  return std::string(file.text());
}

absl::Status write_file_atomically(const std::string& path, std::string_view contents) {
  const std::string temporary = fmt::format("{}.{}.part", path, ::getpid());
  absl::Status status;
  {
    const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (fd.get() < 0) return os_error(temporary, "create");
    status = write_all(fd.get(), contents, temporary);
  }
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = os_error(path, "replace");
  }
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

}  // namespace brisk
