#include "serve/http/client_socket.h"

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "base/log.h"

// gcc 12 mistreats some coroutine code: every statement here has at most one plain `co_await`, with
// no conditional operator and no capturing lambda in it.

namespace brisk::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr double kLingerSeconds = 2;
constexpr size_t kLingerBytesMax = 4 << 20;
constexpr size_t kReadAheadBytes = 4096;

auto to_duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

ClientSocket::ClientSocket(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls,
                           const Limits& limits)
    : limits_(limits),
      stream_(std::move(socket), std::move(tls)),
      deadline_(stream_.get_executor()),
      signal_(stream_.get_executor()),
      buffer_(limits.header_bytes_max + limits.pipelined_bytes_max) {}

asio::awaitable<bool> ClientSocket::handshake() {
  if (stream_.tls() == nullptr) co_return true;
  error_code error;
  arm(limits_.header_seconds_max);
  co_await stream_.tls()->async_handshake(asio::ssl::stream_base::server,
                                          asio::redirect_error(asio::use_awaitable, error));
  disarm();
  if (error) spdlog::debug("a TLS handshake failed: {}", error.message());
  co_return !error;
}

asio::awaitable<void> ClientSocket::say_goodbye(double seconds) {
  if (stream_.tls() == nullptr || stopping_) co_return;
  error_code ignored;
  arm(seconds);
  co_await stream_.tls()->async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
  disarm();
}

asio::awaitable<bool> ClientSocket::first_byte(double seconds) {
  if (buffer_.size() > 0) co_return true;
  error_code error;
  arm(seconds);
  const size_t size = co_await stream_.async_read_some(
      buffer_.prepare(kReadAheadBytes), asio::redirect_error(asio::use_awaitable, error));
  disarm();
  buffer_.commit(size);
  co_return !error && size > 0;
}

asio::awaitable<bool> ClientSocket::write(std::string_view head, std::string_view body) {
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(head), asio::buffer(body)};
  error_code error;
  arm(limits_.write_seconds_max);
  co_await asio::async_write(stream_, buffers, asio::redirect_error(asio::use_awaitable, error));
  disarm();
  co_return !error;
}

asio::awaitable<void> ClientSocket::linger() {
  error_code error;
  co_await say_goodbye(kLingerSeconds);
  asio::ip::tcp::socket& socket = stream_.socket();
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  arm(kLingerSeconds);
  size_t total = 0;
  buffer_.clear();
  while (!error && !expired_ && !stopping_ && total < kLingerBytesMax) {
    const size_t size = co_await socket.async_read_some(
        buffer_.prepare(kReadAheadBytes), asio::redirect_error(asio::use_awaitable, error));
    total += size;
  }
  disarm();
}

void ClientSocket::arm(double seconds) {
  expired_ = false;
  strike_in(to_duration(seconds), ++deadline_round_);
}

void ClientSocket::strike_in(std::chrono::steady_clock::duration time, int64_t round) {
  deadline_.expires_after(time);
  deadline_.async_wait([weak = weak_from_this(), round](const error_code& error) {
    const std::shared_ptr<ClientSocket> self = weak.lock();
    if (error || self == nullptr || self->deadline_round_ != round) return;
    self->expired_ = true;
    self->stream_.socket().cancel();
    // An operation that was between two of its reads has not noticed.
    self->strike_in(std::chrono::milliseconds(50), round);
  });
}

void ClientSocket::disarm() {
  ++deadline_round_;
  deadline_.cancel();
}

asio::awaitable<void> ClientSocket::wait(double seconds) {
  if (!woken_) {
    error_code ignored;
    signal_.expires_after(to_duration(seconds));
    co_await signal_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void ClientSocket::wake() {
  woken_ = true;
  signal_.cancel();
}

Wakeup ClientSocket::make_wakeup() {
  return Wakeup([weak = weak_from_this(), executor = stream_.get_executor()] {
    asio::post(executor, [weak] {
      if (const std::shared_ptr<ClientSocket> self = weak.lock()) self->wake();
    });
  });
}

void ClientSocket::watch() {
  if (watching_) return;
  watch_ended_ = false;
  if (buffer_.size() >= limits_.pipelined_bytes_max) return;
  watching_ = true;
  stream_.async_read_some(
      buffer_.prepare(kReadAheadBytes),
      asio::bind_cancellation_slot(
          watch_cancel_.slot(), [self = shared_from_this()](const error_code& error, size_t size) {
            self->watching_ = false;
            self->buffer_.commit(size);
            if (error && !self->watch_ended_) {
              self->gone_ = true;
              self->close();  // ends a write that nobody takes
            }
            if (!error && !self->watch_ended_) self->watch();
            if (error || self->watch_ended_) self->wake();
          }));
}

asio::awaitable<void> ClientSocket::stop_watching() {
  watch_ended_ = true;
  if (watching_) watch_cancel_.emit(asio::cancellation_type::terminal);
  while (watching_) {
    woken_ = false;
    co_await wait(1);
  }
}

void ClientSocket::stop() {
  stopping_ = true;
  close();
  wake();
}

void ClientSocket::close() {
  error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.socket().close(ignored);
}

}  // namespace brisk::http
