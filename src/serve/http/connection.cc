#include "serve/http/connection.h"

#include <absl/strings/match.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

#include "base/log.h"
#include "base/status.h"
#include "serve/http/connection_pool.h"
#include "serve/http/transport.h"
#include "serve/http/wire.h"

// gcc 12 mistreats some coroutine code: every statement here has at most one plain `co_await`, with
// no conditional operator and no capturing lambda in it.

namespace brisk::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using Parser = beast::http::request_parser<beast::http::string_body>;

constexpr double kLingerSeconds = 2;
constexpr double kGoodbyeSeconds = 1;
constexpr size_t kLingerBytesMax = 4 << 20;
constexpr size_t kReadAheadBytes = 4096;

auto to_duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// What a request that could not be read deserves; 0: nothing, the client has just left.
int status_of_read_error(const error_code& code) {
  using beast::http::error;
  if (code == error::header_limit || code == error::buffer_overflow) return 431;
  if (code == error::body_limit) return 413;
  if (code == error::bad_version) return 505;
  if (code == error::end_of_stream || code == error::partial_message) return 0;
  if (code.category() == make_error_code(error::bad_target).category()) return 400;
  return 0;
}

std::string_view advice_for(int status) {
  switch (status) {
    case 400:
      return "the request is not well-formed HTTP/1.1";
    case 408:
      return "the request took too long to arrive";
    case 413:
      return "the body is larger than this server takes";
    case 431:
      return "the headers are larger than this server takes";
    case 505:
      return "this server speaks HTTP/1.1";
    default:
      return "the request cannot be answered";
  }
}

// Copies the head into `request`. Otherwise the status of the refusal and why.
struct Refusal {
  int status = 0;
  std::string why;
};

std::optional<Refusal> read_head(const Parser& parser, Request& request) {
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  for (const auto& field : message.base()) {
    request.headers.emplace_back(lower_case(field.name_string()), std::string(field.value()));
  }
  request.id = request_id_or_new(request.header("x-request-id"));
  if (const absl::Status status = read_target(message.target(), request); !status.ok()) {
    return Refusal{400, std::string(message_of(status))};
  }
  if (message.version() >= 11 && request.header("host").empty()) {
    return Refusal{400, "an HTTP/1.1 request needs a Host header"};
  }
  const std::string coding = lower_case(request.header("transfer-encoding"));
  if (!coding.empty() && coding != "chunked") {
    return Refusal{501, "the only transfer encoding this server reads is chunked"};
  }
  if (!coding.empty() && !request.header("content-length").empty()) {
    return Refusal{400, "a request has either Transfer-Encoding or Content-Length"};
  }
  const std::string expect = lower_case(request.header("expect"));
  if (!expect.empty() && expect != "100-continue") {
    return Refusal{417, "the only expectation this server meets is 100-continue"};
  }
  return std::nullopt;
}

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
        stream_(std::move(socket), pool.tls_context()),
        deadline_(stream_.get_executor()),
        signal_(stream_.get_executor()),
        buffer_(pool.limits.header_bytes_max + pool.limits.pipelined_bytes_max) {}

  ~BeastConnection() override { pool_.remove(this); }

  // Keeps itself alive until the connection ends. Any thread.
  void start() override {
    asio::co_spawn(stream_.get_executor(), run(shared_from_this()), asio::detached);
  }

  // Any thread.
  void stop() override {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      self->stopping_ = true;
      self->close();
      self->wake();
    });
  }

 private:
  static asio::awaitable<void> run(std::shared_ptr<BeastConnection> self);
  asio::awaitable<bool> handshake();
  asio::awaitable<void> say_goodbye(double seconds);
  asio::awaitable<bool> first_byte(double seconds);
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
  asio::awaitable<bool> write(std::string_view head, std::string_view body);
  asio::awaitable<void> linger();
  asio::awaitable<void> wait(double seconds);
  asio::awaitable<void> stop_watching();

  const Route* find_route(Request& request, Response& refusal) const;
  uint64_t body_bytes_max(const Route& route) const;
  double seconds_left(const Request& request) const;

  void arm(double seconds);
  void disarm();
  void strike_in(std::chrono::steady_clock::duration time, int64_t round);
  void wake();
  void watch();
  void close();
  Wakeup make_wakeup();

  // Constant after construction
  ConnectionPool& pool_;

  // Strand only
  Transport stream_;
  asio::steady_timer deadline_;  // ends what the client takes too long for
  asio::steady_timer signal_;    // what `wait` waits for
  asio::cancellation_signal watch_cancel_;
  beast::flat_buffer buffer_;  // read, but not yet parsed
  int64_t deadline_round_ = 0;
  bool expired_ = false;   // the deadline has struck
  bool woken_ = false;     // since the last `wait`
  bool watching_ = false;  // a read is out that notices the client leave
  bool watch_ended_ = false;
  bool gone_ = false;  // the client has left
  bool stopping_ = false;
};

asio::awaitable<void> BeastConnection::run(std::shared_ptr<BeastConnection> self) {
  bool first = true;
  const bool secured = co_await self->handshake();
  if (!secured) self->gone_ = true;
  while (!self->stopping_ && !self->gone_) {
    const double seconds =
        first ? self->pool_.limits.header_seconds_max : self->pool_.limits.keep_alive_seconds;
    const bool arrived = co_await self->first_byte(seconds);
    if (!arrived) break;
    const bool keep_alive = co_await self->serve_one();
    if (!keep_alive) break;
    first = false;
  }
  if (!self->gone_) co_await self->say_goodbye(kGoodbyeSeconds);
  self->close();
}

// Of TLS, where the server has it. False: the client has gone, or speaks something else.
asio::awaitable<bool> BeastConnection::handshake() {
  if (stream_.tls() == nullptr) co_return true;
  error_code error;
  arm(pool_.limits.header_seconds_max);
  co_await stream_.tls()->async_handshake(asio::ssl::stream_base::server,
                                          asio::redirect_error(asio::use_awaitable, error));
  disarm();
  if (error) spdlog::debug("a TLS handshake failed: {}", error.message());
  co_return !error;
}

// Tells a client of TLS that nothing was cut off by somebody else.
asio::awaitable<void> BeastConnection::say_goodbye(double seconds) {
  if (stream_.tls() == nullptr || stopping_) co_return;
  error_code ignored;
  arm(seconds);
  co_await stream_.tls()->async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
  disarm();
}

// Waits until a request begins. False: it never will.
asio::awaitable<bool> BeastConnection::first_byte(double seconds) {
  if (buffer_.size() > 0) co_return true;
  error_code error;
  arm(seconds);
  const size_t size = co_await stream_.async_read_some(
      buffer_.prepare(kReadAheadBytes), asio::redirect_error(asio::use_awaitable, error));
  disarm();
  buffer_.commit(size);
  co_return !error && size > 0;
}

// Reads one request and answers it. True: another may follow.
asio::awaitable<bool> BeastConnection::serve_one() {
  Parser parser;
  parser.header_limit(pool_.limits.header_bytes_max);
  parser.body_limit(boost::none);  // of the route; known after the headers
  error_code error;
  arm(pool_.limits.header_seconds_max);
  co_await beast::http::async_read_header(stream_, buffer_, parser,
                                          asio::redirect_error(asio::use_awaitable, error));
  disarm();
  const Instant start = pool_.clock.now();
  Request request;
  request.received = start;
  std::string_view route;
  bool keep_alive = false;
  int status = 0;
  const BusyMark mark(pool_);
  if (error) {
    status = status_of_read_error(error);
    if (expired_) status = 408;
    if (status == 0 || stopping_) co_return false;
    request.id = request_id_or_new("");
    Response refusal = pool_.router.error(status, advice_for(status), "/");
    co_await write_response(request, std::move(refusal), Framing::kLength, false);
    co_await linger();
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
  const DisarmAtEnd guard{make_wakeup()};
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
  if (pool_.draining() || stopping_ || framing == Framing::kUntilClose) keep_alive = false;
  bool written = false;
  if (!gone_) {
    written = co_await write_response(request, std::move(response), framing, keep_alive);
  }
  co_await stop_watching();
  keep_alive = keep_alive && written && !gone_ && !stopping_;
  if (written && found == nullptr && !keep_alive) co_await linger();
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
    const bool written = co_await write("HTTP/1.1 100 Continue\r\n\r\n", "");
    if (!written) gone_ = true;
    if (!written) co_return false;
  }
  arm(pool_.limits.body_seconds_max);
  co_await beast::http::async_read(stream_, buffer_, parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  disarm();
  if (!error) {
    request.body = std::move(parser.get().body());
    co_return true;
  }
  int status = status_of_read_error(error);
  if (expired_) status = 408;
  gone_ = status == 0;
  if (gone_) co_return false;
  refusal = pool_.router.error(status, advice_for(status), request.path);
  co_return false;
}

asio::awaitable<Response> BeastConnection::await_response(
    const Request& request, std::unique_ptr<PendingResponse> pending) {
  watch();
  while (!gone_ && !stopping_) {
    woken_ = false;
    std::optional<Response> response = poll(*pending, request, pool_.router);
    if (response.has_value()) co_return std::move(*response);
    const double left = seconds_left(request);
    if (left <= 0) co_return timeout_response(request, pool_.router);
    co_await wait(std::min(pool_.limits.keep_alive_seconds, left));
  }
  gone_ = true;
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
  bool written = co_await write(head, body);
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
  watch();
  std::string text;
  std::string framed;
  bool ended = false;
  bool silent = false;  // nothing happened for a whole ping interval
  while (!ended) {
    woken_ = false;
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
      const bool written = co_await write(framed, "");
      if (!written) gone_ = true;
    } else if (!ended) {
      co_await wait(std::min(pool_.limits.ping_seconds, left));
      silent = !woken_;
    }
    if (gone_ || stopping_) co_return false;
  }
  co_return true;
}

asio::awaitable<bool> BeastConnection::write(std::string_view head, std::string_view body) {
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(head), asio::buffer(body)};
  error_code error;
  arm(pool_.limits.write_seconds_max);
  co_await asio::async_write(stream_, buffers, asio::redirect_error(asio::use_awaitable, error));
  disarm();
  co_return !error;
}

// Reads and forgets what a refused client still sends, for a while: closing at once would make the
// system discard the answer before the client has read it.
asio::awaitable<void> BeastConnection::linger() {
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

// Returns after `seconds`, or as soon as there was a wake since the last wait. Sets `woken_`.
asio::awaitable<void> BeastConnection::wait(double seconds) {
  if (!woken_) {
    error_code ignored;
    signal_.expires_after(to_duration(seconds));
    co_await signal_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<void> BeastConnection::stop_watching() {
  watch_ended_ = true;
  if (watching_) watch_cancel_.emit(asio::cancellation_type::terminal);
  while (watching_) {
    woken_ = false;
    co_await wait(1);
  }
}

// Until `disarm`, whatever waits for the socket longer than `seconds` is cancelled.
void BeastConnection::arm(double seconds) {
  expired_ = false;
  strike_in(to_duration(seconds), ++deadline_round_);
}

void BeastConnection::strike_in(std::chrono::steady_clock::duration time, int64_t round) {
  deadline_.expires_after(time);
  deadline_.async_wait([weak = weak_from_this(), round](const error_code& error) {
    const std::shared_ptr<BeastConnection> self = weak.lock();
    if (error || self == nullptr || self->deadline_round_ != round) return;
    self->expired_ = true;
    self->stream_.socket().cancel();
    // An operation that was between two of its reads has not noticed.
    self->strike_in(std::chrono::milliseconds(50), round);
  });
}

void BeastConnection::disarm() {
  ++deadline_round_;
  deadline_.cancel();
}

void BeastConnection::close() {
  error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.socket().close(ignored);
}

void BeastConnection::wake() {
  woken_ = true;
  signal_.cancel();
}

// Keeps a read out while a request is being answered: it ends when the client leaves, and what a
// pipelining client sends early is kept for its turn.
void BeastConnection::watch() {
  if (watching_) return;
  watch_ended_ = false;
  if (buffer_.size() >= pool_.limits.pipelined_bytes_max) return;
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

Wakeup BeastConnection::make_wakeup() {
  return Wakeup([weak = weak_from_this(), executor = stream_.get_executor()] {
    asio::post(executor, [weak] {
      if (const std::shared_ptr<BeastConnection> self = weak.lock()) self->wake();
    });
  });
}

}  // namespace

std::shared_ptr<Connection> make_connection(asio::ip::tcp::socket socket, ConnectionPool& pool) {
  return std::make_shared<BeastConnection>(std::move(socket), pool);
}

}  // namespace brisk::http
