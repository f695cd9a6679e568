// A client that speaks bytes: it can say what no library would, as slowly as it likes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace brisk::test {

struct RawResponse {
  int status = 0;  // 0: none came
  std::string head;
  std::string body;    // chunks already joined
  bool whole = false;  // the body ended as its framing said

  // The value of a header (name in lower case), or empty.
  std::string header(std::string_view name) const {
    const std::string key = "\r\n" + std::string(name) + ": ";
    const size_t at = head.find(key);
    if (at == std::string::npos) return "";
    const size_t start = at + key.size();
    return head.substr(start, head.find("\r\n", start) - start);
  }
};

class RawClient {
 public:
  explicit RawClient(int port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { close(); }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        read_(std::move(other.read_)) {}
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  RawClient& operator=(RawClient&&) = delete;

  bool connected() const { return connected_; }

  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  bool get(std::string_view path, std::string_view headers = "") {
    return send("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" +
                std::string(headers) + "\r\n");
  }

  bool post(std::string_view path, std::string_view body, std::string_view headers = "") {
    return send("POST " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" +
                std::string(headers) + "Content-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + std::string(body));
  }

  void finish_sending() { ::shutdown(fd_, SHUT_WR); }

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  // Closes with a reset instead of a goodbye.
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close();
  }

  // The next response on this connection; `status` stays 0 when none came in time.
  RawResponse read_response(double seconds = 120, bool to_head = false) {
    RawResponse response;
    const auto deadline = deadline_in(seconds);
    if (!fill_until(deadline, [this] { return read_.find("\r\n\r\n") != std::string::npos; })) {
      return response;
    }
    response.head = take(read_.find("\r\n\r\n") + 4);
    response.status = std::atoi(response.head.c_str() + std::string("HTTP/1.1 ").size());
    if (response.status == 100 || to_head) {
      response.whole = true;
    } else if (response.header("transfer-encoding") == "chunked") {
      read_chunks(response, deadline);
    } else if (const std::string length = response.header("content-length"); !length.empty()) {
      const size_t size = std::stoul(length);
      response.whole = fill_until(deadline, [this, size] { return read_.size() >= size; });
      response.body = take(std::min(size, read_.size()));
    } else {
      fill_until(deadline, [] { return false; });
      response.body = take(read_.size());
      response.whole = closed_;
    }
    return response;
  }

  // Reads until `marker` has come (and is taken), or false.
  bool read_until(std::string_view marker, double seconds = 120) {
    const bool found = fill_until(
        deadline_in(seconds), [this, marker] { return read_.find(marker) != std::string::npos; });
    if (found) take(read_.find(marker) + marker.size());
    return found;
  }

  // The server closes within `seconds`; what it says before is dropped.
  bool closed_within(double seconds) {
    fill_until(deadline_in(seconds), [] { return false; });
    return closed_;
  }

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  static Deadline deadline_in(double seconds) {
    return std::chrono::steady_clock::now() +
           std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
  }

  template <class Enough>
  bool fill_until(Deadline deadline, const Enough& enough) {
    while (!enough()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      pollfd wanted{.fd = fd_, .events = POLLIN, .revents = 0};
      if (left.count() <= 0 || ::poll(&wanted, 1, static_cast<int>(left.count())) <= 0)
        return false;
      char bytes[16384];
      const ssize_t size = ::recv(fd_, bytes, sizeof(bytes), 0);
      if (size <= 0) closed_ = true;
      if (size <= 0) return false;
      read_.append(bytes, static_cast<size_t>(size));
    }
    return true;
  }

  void read_chunks(RawResponse& response, Deadline deadline) {
    while (true) {
      if (!fill_until(deadline, [this] { return read_.find("\r\n") != std::string::npos; })) return;
      const std::string line = take(read_.find("\r\n") + 2);
      const size_t size = std::stoul(line, nullptr, 16);
      if (!fill_until(deadline, [this, size] { return read_.size() >= size + 2; })) return;
      response.body += take(size);
      take(2);
      if (size == 0) {
        response.whole = true;
        return;
      }
    }
  }

  std::string take(size_t size) {
    std::string taken = read_.substr(0, size);
    read_.erase(0, size);
    return taken;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool closed_ = false;  // by the server
  std::string read_;
};

}  // namespace brisk::test
