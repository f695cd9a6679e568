#include "plan/load/http_stream.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>

namespace brisk {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kReadBytes = 8192;
constexpr size_t kUnparsedBytesMax = 65536;  // of a head, or between two pieces of a body
constexpr uint32_t kHeadBytesMax = 32768;

// A body that is passed on as it is parsed and kept nowhere.
struct PassedOnBody {
  struct value_type {
    HttpStreamHandler* handler = nullptr;
  };
  class reader {
   public:
    template <bool isRequest, class Fields>
    reader(beast::http::header<isRequest, Fields>& /*header*/, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>& /*length*/, error_code& error) { error = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      size_t size = 0;
      for (const asio::const_buffer buffer : beast::buffers_range_ref(buffers)) {
        size += buffer.size();
        body_.handler->on_body({static_cast<const char*>(buffer.data()), buffer.size()});
      }
      return size;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

using Parser = beast::http::response_parser<PassedOnBody>;
using Socket = asio::basic_stream_socket<tcp, asio::io_context::executor_type>;

class TcpHttpStream final : public HttpStream, public std::enable_shared_from_this<TcpHttpStream> {
 public:
  TcpHttpStream(asio::io_context& context, const tcp::endpoint& endpoint)
      : endpoint_(endpoint), socket_(context) {}

  void send(std::string request, HttpStreamHandler& handler) override {
    request_ = std::move(request);
    handler_ = &handler;
    reused_ = socket_.is_open();
    begin();
  }

  void abandon(const std::string& error) override {
    if (handler_ == nullptr) return;
    abandoned_ = error;
    drop_connection();  // what is under way then fails, and ends the exchange
  }

  void close() override {
    handler_ = nullptr;
    drop_connection();
  }

 private:
  void begin() {
    answered_ = false;
    buffer_.clear();
    parser_.emplace();
    parser_->eager(true);
    parser_->header_limit(kHeadBytesMax);
    parser_->body_limit(boost::none);  // nothing of it is kept here
    parser_->get().body().handler = handler_;
    if (socket_.is_open()) {
      write();
      return;
    }
    socket_.async_connect(endpoint_, [self = shared_from_this()](const error_code& error) {
      if (self->handler_ == nullptr) return;
      if (error) {
        self->end("cannot connect: " + error.message());
        return;
      }
      error_code ignored;
      self->socket_.set_option(tcp::no_delay(true), ignored);
      self->write();
    });
  }

  void write() {
    asio::async_write(socket_, asio::buffer(request_),
                      [self = shared_from_this()](const error_code& /*error*/, size_t /*size*/) {
                        // A server may refuse before it has read everything: its answer counts.
                        if (self->handler_ != nullptr) self->read();
                      });
  }

  void read() {
    if (buffer_.size() > kUnparsedBytesMax) {
      end("the answer is not HTTP/1.1: a line without end");
      return;
    }
    socket_.async_read_some(buffer_.prepare(kReadBytes),
                            [self = shared_from_this()](const error_code& error, size_t size) {
                              if (self->handler_ != nullptr) self->take(error, size);
                            });
  }

  void take(const error_code& read_error, size_t size) {
    answered_ = answered_ || size > 0;
    buffer_.commit(size);
    error_code error;
    if (read_error == asio::error::eof && answered_) {
      parser_->put_eof(error);
    } else if (read_error) {
      if (try_again()) return;
      end(read_error == asio::error::eof ? "the server closed the connection without an answer"
                                         : "the connection broke: " + read_error.message());
      return;
    } else {
      parse(error);
    }
    if (handler_ == nullptr) return;
    if (error == beast::http::error::partial_message) {
      end("the server closed the connection in the middle of its answer");
    } else if (error) {
      end("the answer is not HTTP/1.1: " + error.message());
    } else if (!parser_->is_done()) {
      read();
    } else {
      if (!parser_->keep_alive() || buffer_.size() > 0) drop_connection();
      end("");
    }
  }

  void parse(error_code& error) {
    while (buffer_.size() > 0 && !parser_->is_done()) {
      // Head first, so that its status is known before any of the body.
      const bool in_head = !parser_->is_header_done();
      parser_->eager(!in_head);
      const size_t used = parser_->put(buffer_.data(), error);
      buffer_.consume(used);
      const bool more = error == beast::http::error::need_more;
      if (more) error = {};
      if (error || handler_ == nullptr) return;
      if (in_head && parser_->is_header_done()) {
        handler_->on_head(static_cast<int>(parser_->get().result_int()));
      }
      if (more) return;
    }
  }

  // A server may close an idle connection just as the next request is sent: that is no failure.
  bool try_again() {
    if (!reused_ || answered_ || !abandoned_.empty()) return false;
    reused_ = false;
    drop_connection();
    begin();
    return true;
  }

  void end(const std::string& error) {
    HttpStreamHandler* const handler = std::exchange(handler_, nullptr);
    const std::string reason = std::exchange(abandoned_, "");
    if (!error.empty()) drop_connection();
    handler->on_end(reason.empty() ? error : reason);
  }

  void drop_connection() {
    error_code ignored;
    socket_.close(ignored);
  }

  const tcp::endpoint endpoint_;
  Socket socket_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::string request_;
  std::string abandoned_;  // why, once it is
  HttpStreamHandler* handler_ = nullptr;
  bool reused_ = false;    // the connection has served before
  bool answered_ = false;  // something came back
};

}  // namespace

std::shared_ptr<HttpStream> make_http_stream(asio::io_context& context,
                                             const tcp::endpoint& endpoint) {
  return std::make_shared<TcpHttpStream>(context, endpoint);
}

}  // namespace brisk
