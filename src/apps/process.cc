#include "apps/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kOutputBytesMax = size_t{64} << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

absl::StatusOr<pid_t> start(const std::vector<std::string>& words, int output) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, arguments[0], &files, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  if (error == ENOENT) return not_found("{} is not installed", words[0]);
  if (error != 0) return system_error("{}: cannot be started: {}", words[0], std::strerror(error));
  return child;
}

// Until its end, or beyond `kOutputBytesMax`.
std::string read_all(int fd) {
  std::string text;
  std::array<char, 1 << 16> buffer{};
  while (text.size() <= kOutputBytesMax) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  return text;
}

}  // namespace

absl::StatusOr<ProcessResult> run_process(const std::vector<std::string>& words) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    return system_error("{}: cannot be started: {}", words[0], std::strerror(errno));
  }
  Descriptor reader(pipe[0]);
  Descriptor writer(pipe[1]);
  BRISK_ASSIGN_OR_RETURN(const pid_t child, start(words, writer.get()));
  writer.close();
  ProcessResult result;
  result.output = read_all(reader.get());
  const bool too_much = result.output.size() > kOutputBytesMax;
  if (too_much) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (too_much) return exhausted("{} printed more than {} bytes", words[0], kOutputBytesMax);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string program_beside(const std::string& name) {
  std::error_code unknown;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (unknown) return name;
  const std::filesystem::path beside = self.parent_path() / name;
  return std::filesystem::exists(beside, unknown) ? beside.string() : name;
}

}  // namespace brisk
