// A server that answers like OpenAI's completions, with delays and faults as told: what a load
// generator measures of it is known beforehand. A thread for each connection.
#pragma once

#include <absl/synchronization/mutex.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace brisk::test {

struct FakeAnswer {
  int status = 200;  // else `body` is the answer
  std::string body = R"({"error":{"message":"no"}})";
  bool plain = false;  // `body` is the answer at 200 too
  double first_s = 0;  // until the first token, or the answer that is not 200
  double gap_s = 0;    // between tokens
  int tokens = 4;
  int tokens_per_write = 1;      // so many events arrive at once
  int break_after = -1;          // tokens after which the connection is closed
  std::string error_after = {};  // sent instead of the end
  bool done = true;              // [DONE] comes
  bool close = false;            // the connection ends with the answer
  bool silent = false;           // nothing comes until the client leaves
};

// What the client asked for, when.
struct FakeRequest {
  std::string path;
  std::string body;
  std::string head;
};

class FakeOpenAi {
 public:
  using Script = std::function<FakeAnswer(int index, const FakeRequest& request)>;

  explicit FakeOpenAi(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size);
    ::listen(listener_, 4096);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }

  ~FakeOpenAi() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      absl::MutexLock lock(&mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  FakeOpenAi(const FakeOpenAi&) = delete;
  FakeOpenAi& operator=(const FakeOpenAi&) = delete;

  uint16_t port() const { return port_; }
  int connections() const { return connections_; }

  std::vector<FakeRequest> requests() {
    absl::MutexLock lock(&mutex_);
    return requests_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void accept_all() {
    while (!stopping_) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) continue;
      ++connections_;
      absl::MutexLock lock(&mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] {
        serve(fd);
        ::shutdown(fd, SHUT_RDWR);
        absl::MutexLock closing(&mutex_);
        std::erase(open_, fd);
        ::close(fd);
      });
    }
  }

  void serve(int fd) {
    std::string read;
    while (true) {
      FakeRequest request;
      if (!read_request(fd, read, request)) return;
      int index = 0;
      {
        absl::MutexLock lock(&mutex_);
        index = static_cast<int>(requests_.size());
        requests_.push_back(request);
      }
      if (!answer(fd, script_(index, request))) return;
    }
  }

  static bool fill(int fd, std::string& read) {
    char bytes[16384];
    const ssize_t size = ::recv(fd, bytes, sizeof(bytes), 0);
    if (size > 0) read.append(bytes, static_cast<size_t>(size));
    return size > 0;
  }

  static bool read_request(int fd, std::string& read, FakeRequest& request) {
    size_t head_end = 0;
    while ((head_end = read.find("\r\n\r\n")) == std::string::npos) {
      if (!fill(fd, read)) return false;
    }
    request.head = read.substr(0, head_end + 4);
    read.erase(0, head_end + 4);
    const size_t path = request.head.find(' ') + 1;
    request.path = request.head.substr(path, request.head.find(' ', path) - path);
    constexpr std::string_view kLength = "content-length: ";
    const size_t length_at = request.head.find(kLength);
    if (length_at == std::string::npos) return true;
    const size_t length = std::stoul(request.head.substr(length_at + kLength.size()));
    while (read.size() < length) {
      if (!fill(fd, read)) return false;
    }
    request.body = read.substr(0, length);
    read.erase(0, length);
    return true;
  }

  static bool send(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  static std::string chunk(std::string_view data) {
    char size[20];
    std::snprintf(size, sizeof(size), "%zx\r\n", data.size());
    return size + std::string(data) + "\r\n";
  }

  // False: the connection is to be closed.
  static bool answer(int fd, const FakeAnswer& plan) {
    auto at = Clock::now() + to_duration(plan.first_s);
    if (plan.silent) {
      std::string ignored;
      return fill(fd, ignored);
    }
    std::this_thread::sleep_until(at);
    if (plan.status != 200 || plan.plain) {
      return send(fd, "HTTP/1.1 " + std::to_string(plan.status) +
                          " No\r\nretry-after: 1\r\ncontent-length: " +
                          std::to_string(plan.body.size()) + "\r\n\r\n" + plan.body) &&
             !plan.close;
    }
    std::string head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    head += "transfer-encoding: chunked\r\n\r\n";
    for (int i = 0; i < plan.tokens; ++i) {
      if (i == plan.break_after) return false;
      head += chunk(
          R"(data: {"id":"cmpl-1","choices":[{"index":0,"text":" a","finish_reason":null}],"usage":null})"
          "\n\n");
      const bool flush = (i + 1) % plan.tokens_per_write == 0 || i + 1 == plan.tokens;
      if (!flush) continue;
      if (!send(fd, head)) return false;
      head.clear();
      at += to_duration(plan.gap_s);
      if (i + 1 < plan.tokens) std::this_thread::sleep_until(at);
    }
    return send(fd, head + ending(plan)) && !plan.close;
  }

  static std::string ending(const FakeAnswer& plan) {
    std::string text;
    if (!plan.error_after.empty()) {
      text = chunk(R"(data: {"error":{"message":")" + plan.error_after + "\"}}\n\n");
    } else {
      text = chunk(R"(data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":)" +
                   std::to_string(plan.tokens) +
                   R"(,"prompt_tokens_details":{"cached_tokens":3}}})"
                   "\n\n");
      if (plan.done) text += chunk("data: [DONE]\n\n");
    }
    return text + "0\r\n\r\n";
  }

  static Clock::duration to_duration(double seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  const Script script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  absl::Mutex mutex_;
  std::vector<FakeRequest> requests_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace brisk::test
