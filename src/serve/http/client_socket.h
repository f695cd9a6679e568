// A client's connection as bytes: reading and writing with deadlines, waiting for news, and a watch
// that notices the client leave. Internal to the server.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "serve/http/message.h"
#include "serve/http/server.h"
#include "serve/http/transport.h"

namespace brisk::http {

// Strand of the socket only. Owned by shared pointers: what it has begun keeps it alive.
class ClientSocket : public std::enable_shared_from_this<ClientSocket> {
 public:
  // `tls` null: no TLS.
  ClientSocket(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> tls,
               const Limits& limits);

  // Of TLS, where the server has it. False: the client has gone, or speaks something else.
  boost::asio::awaitable<bool> handshake();
  // Tells a client of TLS that nothing was cut off by somebody else.
  boost::asio::awaitable<void> say_goodbye(double seconds);
  // Waits until a request begins. False: it never will.
  boost::asio::awaitable<bool> first_byte(double seconds);
  // False: the client has gone, or does not take it.
  boost::asio::awaitable<bool> write(std::string_view head, std::string_view body);
  // Reads and forgets what a refused client still sends, for a while: closing at once would make
  // the system discard the answer before the client has read it.
  boost::asio::awaitable<void> linger();

  // Until `disarm`, whatever waits for the socket longer than `seconds` is cancelled.
  void arm(double seconds);
  void disarm();
  bool expired() const { return expired_; }  // the deadline has struck, since `arm`

  // Returns after `seconds`, or as soon as there was a wake since `forget_wakes`.
  boost::asio::awaitable<void> wait(double seconds);
  void forget_wakes() { woken_ = false; }
  bool woken() const { return woken_; }
  Wakeup make_wakeup();

  // Keeps a read out while a request is being answered: it ends when the client leaves, and what a
  // pipelining client sends early is kept for its turn.
  void watch();
  boost::asio::awaitable<void> stop_watching();

  void stop();  // whatever it is doing ends soon
  void close();
  bool stopping() const { return stopping_; }
  bool gone() const { return gone_; }  // the client has left
  void set_gone() { gone_ = true; }
  bool over() const { return gone_ || stopping_; }

  // An AsyncReadStream, and what was read of it but not yet parsed.
  Transport& stream() { return stream_; }
  boost::beast::flat_buffer& buffer() { return buffer_; }

 private:
  void strike_in(std::chrono::steady_clock::duration time, int64_t round);
  void wake();

  const Limits limits_;
  Transport stream_;
  boost::asio::steady_timer deadline_;  // ends what the client takes too long for
  boost::asio::steady_timer signal_;    // what `wait` waits for
  boost::asio::cancellation_signal watch_cancel_;
  boost::beast::flat_buffer buffer_;
  int64_t deadline_round_ = 0;
  bool expired_ = false;
  bool woken_ = false;
  bool watching_ = false;  // a read is out that notices the client leave
  bool watch_ended_ = false;
  bool gone_ = false;
  bool stopping_ = false;
};

}  // namespace brisk::http
