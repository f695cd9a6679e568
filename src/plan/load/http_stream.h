// One connection of the load generator: sends a request and passes the answer on as it arrives,
// then serves the next. Internal to the load generator; one thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <string_view>

namespace brisk {

// Told about one exchange. Never called from within `send`.
class HttpStreamHandler {
 public:
  virtual ~HttpStreamHandler() = default;
  virtual void on_head(int status) = 0;
  virtual void on_body(std::string_view bytes) = 0;
  // The exchange is over and the stream is free again. `error` is empty when the answer came whole.
  virtual void on_end(const std::string& error) = 0;
};

class HttpStream {
 public:
  virtual ~HttpStream() = default;

  // Sends the bytes of a request, over the connection of the last one where that is still open.
  // REQUIRES: no exchange is under way. `handler` lives until on_end, or `close`.
  virtual void send(std::string request, HttpStreamHandler& handler) = 0;

  // Ends the exchange under way with `error`, soon. Does nothing when there is none.
  virtual void abandon(const std::string& error) = 0;

  // Drops the connection; the handler hears nothing more.
  virtual void close() = 0;
};

std::shared_ptr<HttpStream> make_http_stream(boost::asio::io_context& context,
                                             const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace brisk
