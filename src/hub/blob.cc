#include "hub/blob.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kHashedAtOnce = 1 << 20;

struct ContextCloser {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// A file that is being written. Closed at the end.
class PartialFile {
 public:
  static absl::StatusOr<PartialFile> open(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return system_error("{}: {}", path, std::strerror(errno));
    PartialFile file(fd, path);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      return system_error("{} is being fetched by another process; wait for it", path);
    }
    return file;
  }
  PartialFile(PartialFile&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile() {
    if (fd_ >= 0) ::close(fd_);
  }

  absl::StatusOr<int64_t> size() const {
    struct stat state{};
    if (::fstat(fd_, &state) != 0) return fault();
    return static_cast<int64_t>(state.st_size);
  }

  absl::Status truncate(int64_t bytes) {
    return ::ftruncate(fd_, bytes) == 0 ? absl::OkStatus() : fault();
  }

  absl::Status write(int64_t at, std::span<const char> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return fault();
      bytes = bytes.subspan(static_cast<size_t>(count));
      at += count;
    }
    return absl::OkStatus();
  }

  absl::Status sync() { return ::fsync(fd_) == 0 ? absl::OkStatus() : fault(); }

  // Of `prefix` and all of the file, in hexadecimal.
  absl::StatusOr<std::string> hash(const EVP_MD* kind, const std::string& prefix) const {
    const std::unique_ptr<EVP_MD_CTX, ContextCloser> context(EVP_MD_CTX_new());
    if (context == nullptr || EVP_DigestInit_ex(context.get(), kind, nullptr) != 1 ||
        EVP_DigestUpdate(context.get(), prefix.data(), prefix.size()) != 1) {
      return system_error("OpenSSL does not hash");
    }
    std::vector<char> buffer(kHashedAtOnce);
    int64_t at = 0;
    while (true) {
      const ssize_t count = ::pread(fd_, buffer.data(), buffer.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fault();
      if (count == 0) break;
      EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(count));
      at += count;
    }
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_DigestFinal_ex(context.get(), digest.data(), &size);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  PartialFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  absl::Status fault() const { return system_error("{}: {}", path_, std::strerror(errno)); }

  int fd_;
  std::string path_;
};

// One request for what is missing; `have` grows with what comes.
absl::Status fetch_rest(const std::string& url, const HubFile& wanted, const PullOptions& options,
                        PartialFile& file, int64_t* have,
                        const std::function<void(int64_t)>& progress) {
  bool begun = false;
  const int64_t first = *have;
  const FetchSink sink = [&](const FetchHead& head, std::span<const char> bytes) -> absl::Status {
    if (!begun && first > 0 && head.status == 200) {  // it does not do ranges: from the start
      BRISK_RETURN_IF_ERROR(file.truncate(0));
      *have = 0;
    } else if (!begun && head.status == 206 && head.range_first != first) {
      return invalid_input("the hub sends bytes from {} on where those from {} on were asked",
                           head.range_first, first);
    }
    begun = true;
    if (*have + std::ssize(bytes) > wanted.bytes) {
      return invalid_input("the hub sends more than the {} bytes that it says", wanted.bytes);
    }
    BRISK_RETURN_IF_ERROR(file.write(*have, bytes));
    *have += std::ssize(bytes);
    if (progress != nullptr) progress(*have);
    return absl::OkStatus();
  };
  return fetch_range(url, options.fetch, first, sink);
}

void wait(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// Until everything is there, through connections that break.
absl::Status fetch_all(const std::string& url, const HubFile& wanted, const PullOptions& options,
                       PartialFile& file, const std::function<void(int64_t)>& progress) {
  BRISK_ASSIGN_OR_RETURN(int64_t have, file.size());
  if (have > wanted.bytes) {
    BRISK_RETURN_IF_ERROR(file.truncate(0));
    have = 0;
  }
  double pause = options.retry_seconds;
  absl::Status status;
  for (int failed = 0; have < wanted.bytes;) {
    const int64_t before = have;
    status = fetch_rest(url, wanted, options, file, &have, progress);
    if (status.ok() && have < wanted.bytes && have == before) {
      status = system_error("the hub sends nothing of the {} bytes that are missing",
                            wanted.bytes - have);
    }
    if (absl::IsOutOfRange(status)) {
      BRISK_RETURN_IF_ERROR(file.truncate(0));
      have = 0;
    } else if (!status.ok() && !absl::IsUnavailable(status) && !absl::IsResourceExhausted(status)) {
      return status;
    }
    if (status.ok()) continue;
    if (have > before) failed = 0;
    if (have > before) pause = options.retry_seconds;
    if (++failed >= options.attempts_max) return status;
    constexpr double kPauseMax = 60;
    wait(std::min(std::max(pause, retry_after_seconds(status).value_or(0)), kPauseMax));
    pause *= 2;
  }
  return absl::OkStatus();
}

absl::Status check_hash(const PartialFile& file, const HubFile& wanted) {
  // Git hashes a header before the contents.
  const bool is_git = wanted.sha256.empty();
  const std::string prefix =
      is_git ? fmt::format("blob {}", wanted.bytes) + std::string(1, '\0') : std::string();
  BRISK_ASSIGN_OR_RETURN(const std::string found,
                         file.hash(is_git ? EVP_sha1() : EVP_sha256(), prefix));
  if (found == wanted.etag()) return absl::OkStatus();
  return invalid_input("what came has the {} {}, not {} as the hub says; it was thrown away",
                       is_git ? "SHA-1" : "SHA-256", found, wanted.etag());
}

}  // namespace

absl::Status fetch_blob(const std::string& url, const HubFile& wanted, const std::string& path,
                        const PullOptions& options, const std::function<void(int64_t)>& progress) {
  const std::string incomplete = path + ".incomplete";
  BRISK_ASSIGN_OR_RETURN(PartialFile file, PartialFile::open(incomplete));
  BRISK_RETURN_IF_ERROR(fetch_all(url, wanted, options, file, progress));
  if (const absl::Status status = check_hash(file, wanted); !status.ok()) {
    ::unlink(incomplete.c_str());
    return status;
  }
  BRISK_RETURN_IF_ERROR(file.sync());
  if (::rename(incomplete.c_str(), path.c_str()) != 0) {
    return system_error("{}: {}", path, std::strerror(errno));
  }
  return absl::OkStatus();
}

}  // namespace brisk
