#include "serve/http/connection.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/read.hpp>
#include <optional>

#include "base/log.h"
#include "serve/http/client_socket.h"
#include "serve/http/connection_pool.h"
#include "serve/http/request_head.h"
#include "serve/http/wire.h"

// gcc 12 mistreats some coroutine code: every statement here has at most one plain `co_await`, with
// no conditional operator and no capturing lambda in it.

namespace brisk::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

constexpr double kGoodbyeSeconds = 1;

Response internal_error(const Request& request, const char* what, const Router& router) {
  spdlog::error("{} {} ({}) threw: {}", request.method, request.path, request.id, what);
  return router.error(500, "internal error; the server's log says more", request.path);
}

Reply call(const Handler& handler, const Request& request, const Wakeup& wakeup,
           const Router& router) {
  try {
    return handler(request, wakeup);
  } catch (const std::exception& error) {
    return internal_error(request, error.what(), router);
  }
}

std::optional<Response> poll(PendingResponse& pending, const Request& request,
                             const Router& router) {
  try {
    return pending.poll();
  } catch (const std::exception& error) {
    return internal_error(request, error.what(), router);
  }
}

Response timeout_response(const Request& request, const Router& router) {
  return router.error(504, "the request took longer than this server allows; ask for fewer tokens",
                      request.path, "timeout");
}

// Whoever still holds the Wakeup when the exchange has ended wakes nobody.
struct DisarmAtEnd {
  const Wakeup wakeup;
  ~DisarmAtEnd() { wakeup.disarm(); }
};

// A request is being answered.
class BusyMark {
 public:
  explicit BusyMark(ConnectionPool& pool) : pool_(pool) { pool_.add_busy(1); }
  ~BusyMark() { pool_.add_busy(-1); }
  BusyMark(const BusyMark&) = delete;
  BusyMark& operator=(const BusyMark&) = delete;

 private:
  ConnectionPool& pool_;
};

// A body's share of the memory for all that are arriving. One of unknown length counts as the
// largest.
class BodyRoom {
 public:
  BodyRoom(ConnectionPool& pool, const boost::optional<uint64_t>& length, uint64_t bytes_max)
      : pool_(pool),
        bytes_(std::min(length.value_or(bytes_max), bytes_max)),
        reserved_(pool.reserve_body(bytes_)) {}
  ~BodyRoom() {
    if (reserved_) pool_.release_body(bytes_);
  }
  BodyRoom(const BodyRoom&) = delete;
  BodyRoom& operator=(const BodyRoom&) = delete;

  bool reserved() const { return reserved_; }

 private:
  ConnectionPool& pool_;
  const uint64_t bytes_;
  const bool reserved_;
};

// Everything runs on the strand of the socket, except where said otherwise.
class BeastConnection final : public Connection,
                              public std::enable_shared_from_this<BeastConnection> {
 public:
  BeastConnection(asio::ip::tcp::socket socket, ConnectionPool& pool)
      : pool_(pool),
        executor_(socket.get_executor()),
        socket_(
            std::make_shared<ClientSocket>(std::move(socket), pool.tls_context(), pool.limits)) {}

  ~BeastConnection() override { pool_.remove(this); }

  // Keeps itself alive until the connection ends. Any thread.
  void start() override { asio::co_spawn(executor_, run(shared_from_this()), asio::detached); }

  // Any thread.
  void stop() override {
    asio::post(executor_, [socket = socket_] { socket->stop(); });
  }

 private:
  static asio::awaitable<void> run(std::shared_ptr<BeastConnection> self);
  asio::awaitable<bool> serve_one();
  asio::awaitable<int> answer(Parser& parser, Request& request, std::string_view& route,
                              bool& keep_alive);
  asio::awaitable<bool> read_body(Parser& parser, Request& request, const BodyRoom& room,
                                  uint64_t bytes_max, Response& refusal);
  asio::awaitable<Response> await_response(const Request& request,
                                           std::unique_ptr<PendingResponse> pending);
  asio::awaitable<bool> write_response(const Request& request, Response response, Framing framing,
                                       bool keep_alive);
  asio::awaitable<bool> write_stream(const Request& request, std::unique_ptr<BodyStream> stream,
                                     Framing framing);

  const Route* find_route(Request& request, Response& refusal) const;
  uint64_t body_bytes_max(const Route& route) const;
  double seconds_left(const Request& request) const;

  // Constant after construction
  ConnectionPool& pool_;
  const asio::ip::tcp::socket::executor_type executor_;
  const std::shared_ptr<ClientSocket> socket_;  // strand only
};

asio::awaitable<void> BeastConnection::run(std::shared_ptr<BeastConnection> self) {
  bool first = true;
  const bool secured = co_await self->socket_->handshake();
  if (!secured) self->socket_->set_gone();
  while (!self->socket_->over()) {
    const double seconds =
        first ? self->pool_.limits.header_seconds_max : self->pool_.limits.keep_alive_seconds;
    const bool arrived = co_await self->socket_->first_byte(seconds);
    if (!arrived) break;
    const bool keep_alive = co_await self->serve_one();
    if (!keep_alive) break;
    first = false;
  }
  if (!self->socket_->gone()) co_await self->socket_->say_goodbye(kGoodbyeSeconds);
  self->socket_->close();
}

// Reads one request and answers it. True: another may follow.
asio::awaitable<bool> BeastConnection::serve_one() {
  Parser parser;
  parser.header_limit(pool_.limits.header_bytes_max);
  parser.body_limit(boost::none);  // of the route; known after the headers
  error_code error;
  socket_->arm(pool_.limits.header_seconds_max);
  co_await beast::http::async_read_header(socket_->stream(), socket_->buffer(), parser,
                                          asio::redirect_error(asio::use_awaitable, error));
  socket_->disarm();
  const Instant start = pool_.clock.now();
  Request request;
  request.received = start;
  std::string_view route;
  bool keep_alive = false;
  int status = 0;
  const BusyMark mark(pool_);
  if (error) {
    status = status_of_read_error(error);
    if (socket_->expired()) status = 408;
    if (status == 0 || socket_->stopping()) co_return false;
    request.id = request_id_or_new("");
    Response refusal = pool_.router.error(status, advice_for(status), "/");
    co_await write_response(request, std::move(refusal), Framing::kLength, false);
    co_await socket_->linger();
  } else {
    status = co_await answer(parser, request, route, keep_alive);
  }
  if (pool_.observer) {
    pool_.observer({.route = route,
                    .method = request.method,
                    .status = status,
                    .seconds = seconds_between(start, pool_.clock.now()),
                    .request_id = request.id,
                    .key = request.caller.name});
  }
  co_return keep_alive;
}

// The status that was answered. `keep_alive`: the connection can take another request.
asio::awaitable<int> BeastConnection::answer(Parser& parser, Request& request,
                                             std::string_view& route, bool& keep_alive) {
  const unsigned version = parser.get().version();
  const bool has_body = !parser.is_done();
  keep_alive = parser.keep_alive();
  Response response;
  const Route* found = nullptr;
  if (const std::optional<Refusal> refusal = read_head(parser, request)) {
    response = pool_.router.error(refusal->status, refusal->why, request.path);
    keep_alive = false;
  } else {
    found = find_route(request, response);
    if (found == nullptr && has_body) keep_alive = false;
  }
  std::optional<BodyRoom> room;  // while the body is in memory
  if (found != nullptr) {
    route = found->path;
    if (has_body) {
      const uint64_t bytes_max = body_bytes_max(*found);
      parser.body_limit(bytes_max);
      room.emplace(pool_, parser.content_length(), bytes_max);
      const bool arrived = co_await read_body(parser, request, *room, bytes_max, response);
      if (!arrived) found = nullptr;
      if (!arrived) keep_alive = false;
    }
  }
  const DisarmAtEnd guard{socket_->make_wakeup()};
  if (found != nullptr) {
    Reply reply = call(found->handler, request, guard.wakeup, pool_.router);
    std::string().swap(request.body);  // generating may take long
    room.reset();
    if (auto* pending = std::get_if<std::unique_ptr<PendingResponse>>(&reply)) {
      response = co_await await_response(request, std::move(*pending));
    } else {
      response = std::move(std::get<Response>(reply));
    }
  }
  add_origin_headers(pool_.origins, request, response);
  const int status = response.status;
  Framing framing = Framing::kLength;
  if (response.stream != nullptr)
    framing = version >= 11 ? Framing::kChunked : Framing::kUntilClose;
  if (pool_.draining() || socket_->stopping() || framing == Framing::kUntilClose)
    keep_alive = false;
  bool written = false;
  if (!socket_->gone()) {
    written = co_await write_response(request, std::move(response), framing, keep_alive);
  }
  co_await socket_->stop_watching();
  keep_alive = keep_alive && written && !socket_->over();
  if (written && found == nullptr && !keep_alive) co_await socket_->linger();
  co_return status;
}

// Null: `refusal` is the answer.
const Route* BeastConnection::find_route(Request& request, Response& refusal) const {
  if (std::optional<Response> preflight = preflight_answer(pool_.origins, request)) {
    refusal = std::move(*preflight);
    return nullptr;
  }
  if (const std::string why = origin_refusal(pool_.origins, request); !why.empty()) {
    refusal = pool_.router.error(403, why, request.path);
    return nullptr;
  }
  return pool_.router.find(request, refusal);
}

uint64_t BeastConnection::body_bytes_max(const Route& route) const {
  return route.body_bytes_max > 0 ? route.body_bytes_max : pool_.limits.body_bytes_max;
}

// False: `refusal` says why, unless the client has gone.
asio::awaitable<bool> BeastConnection::read_body(Parser& parser, Request& request,
                                                 const BodyRoom& room, uint64_t bytes_max,
                                                 Response& refusal) {
  error_code error;
  if (parser.content_length().value_or(0) > bytes_max) {
    refusal = pool_.router.error(413, advice_for(413), request.path);
    co_return false;
  }
  if (!room.reserved()) {
    refusal =
        pool_.router.error(503, "too many bodies are arriving; try again later", request.path);
    co_return false;
  }
  if (!request.header("expect").empty()) {
    const bool written = co_await socket_->write("HTTP/1.1 100 Continue\r\n\r\n", "");
    if (!written) socket_->set_gone();
    if (!written) co_return false;
  }
  socket_->arm(pool_.limits.body_seconds_max);
  co_await beast::http::async_read(socket_->stream(), socket_->buffer(), parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  socket_->disarm();
  if (!error) {
    request.body = std::move(parser.get().body());
    co_return true;
  }
  int status = status_of_read_error(error);
  if (socket_->expired()) status = 408;
  if (status == 0) socket_->set_gone();
  if (status == 0) co_return false;
  refusal = pool_.router.error(status, advice_for(status), request.path);
  co_return false;
}

asio::awaitable<Response> BeastConnection::await_response(
    const Request& request, std::unique_ptr<PendingResponse> pending) {
  socket_->watch();
  while (!socket_->over()) {
    socket_->forget_wakes();
    std::optional<Response> response = poll(*pending, request, pool_.router);
    if (response.has_value()) co_return std::move(*response);
    const double left = seconds_left(request);
    if (left <= 0) co_return timeout_response(request, pool_.router);
    co_await socket_->wait(std::min(pool_.limits.keep_alive_seconds, left));
  }
  socket_->set_gone();
  Response cancelled;
  cancelled.status = 499;  // nobody reads it: for the log and the metrics
  co_return cancelled;
}

asio::awaitable<bool> BeastConnection::write_response(const Request& request, Response response,
                                                      Framing framing, bool keep_alive) {
  const std::string head = format_head(response, {.framing = framing,
                                                  .length = response.body.size(),
                                                  .keep_alive = keep_alive,
                                                  .request_id = request.id});
  std::string_view body = response.body;
  if (request.method == "HEAD" || response.stream != nullptr) body = {};
  bool written = co_await socket_->write(head, body);
  if (written && response.stream != nullptr) {
    written = co_await write_stream(request, std::move(response.stream), framing);
  }
  co_return written;
}

// Until the server gives up on `request`.
double BeastConnection::seconds_left(const Request& request) const {
  constexpr double kForever = 1e9;
  if (pool_.limits.request_seconds_max <= 0) return kForever;
  return pool_.limits.request_seconds_max - seconds_between(request.received, pool_.clock.now());
}

// Pulls and writes in turn: nothing is asked for before everything was taken by the client.
asio::awaitable<bool> BeastConnection::write_stream(const Request& request,
                                                    std::unique_ptr<BodyStream> stream,
                                                    Framing framing) {
  socket_->watch();
  std::string text;
  std::string framed;
  bool ended = false;
  bool silent = false;  // nothing happened for a whole ping interval
  while (!ended) {
    socket_->forget_wakes();
    text.clear();
    ended = stream->pull(text);
    const double left = seconds_left(request);
    if (!ended && left <= 0) {
      stream->expire(text);
      if (text.empty()) co_return false;
      ended = true;
    }
    if (text.empty() && silent) text = stream->keepalive();
    silent = false;
    framed.clear();
    if (framing == Framing::kUntilClose) framed = text;
    if (framing == Framing::kChunked && !text.empty()) append_chunk(framed, text);
    if (framing == Framing::kChunked && ended) framed += kLastChunk;
    if (!framed.empty()) {
      const bool written = co_await socket_->write(framed, "");
      if (!written) socket_->set_gone();
    } else if (!ended) {
      co_await socket_->wait(std::min(pool_.limits.ping_seconds, left));
      silent = !socket_->woken();
    }
    if (socket_->over()) co_return false;
  }
  co_return true;
}

}  // namespace

std::shared_ptr<Connection> make_connection(asio::ip::tcp::socket socket, ConnectionPool& pool) {
  return std::make_shared<BeastConnection>(std::move(socket), pool);
}

}  // namespace brisk::http
