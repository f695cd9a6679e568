// HTTP as the handlers see it: a request that has arrived whole, and the ways to answer it. Nothing
// here knows sockets or Beast.
//
// An answer may need time (a model is generating). It is then pulled, never pushed: the connection
// asks for more only when everything before has been written, so a slow client slows only itself
// and nothing piles up on its behalf. Whoever has news calls `Wakeup::wake`.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace brisk::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

class KeyAccount;      // key_account.h
class CountedRequest;  // key_account.h

// Which of the server's keys a request carries.
struct Caller {
  int key = -1;                           // its account's id; -1: no key is asked for
  int keys = 0;                           // that the server knows
  int weight = 1;                         // of the key
  std::string name{};                     // of the key; may be empty
  std::string owner{};                    // the key's SHA-256 in hex; empty: no key is asked for
  std::shared_ptr<KeyAccount> account{};  // what it uses is charged to; may be null
  std::shared_ptr<const CountedRequest> counted{};  // ends with the request
  bool background = false;                          // nobody waits: it goes after all others
};

struct Request {
  std::string method;  // as sent: "GET"
  std::string path;    // decoded, without the query: "/v1/models/a b"
  std::string query;   // raw, without '?'
  Headers headers;     // names in lower case
  std::string body;
  std::string id;                   // the client's X-Request-Id when it is usable, else one of ours
  std::vector<std::string> params;  // what the route's {placeholders} matched, in order
  Instant received;                 // when its head was complete
  Caller caller{};                  // set with the route

  // The first header of that name (lower case), or empty.
  std::string_view header(std::string_view name) const;
};

// The bytes after the head of a streamed answer. All calls come from one thread at a time.
// Destroyed when everything was written, or early when the client has gone or the server gives up
// on it: the destructor must then stop whatever feeds the stream.
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  // Appends what there is to say by now to `out`. True: that was all, the body ends here.
  virtual bool pull(std::string& out) = 0;
  // What to send when nothing was said for a while, so that proxies keep the connection open.
  virtual std::string_view keepalive() const { return {}; }
  // The time for the request is over. Appends what tells the client so and properly ends the body;
  // where nothing is appended the body is cut off. Not called again.
  virtual void expire(std::string& /*out*/) {}
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  Headers headers;  // beside content-type, length and connection
  std::string body;
  std::unique_ptr<BodyStream> stream;  // when set, the body instead of `body`
};

// An answer whose status is not known yet. Calls and destruction as for BodyStream.
class PendingResponse {
 public:
  virtual ~PendingResponse() = default;
  // The answer, or nothing yet: called again after each wake.
  virtual std::optional<Response> poll() = 0;
};

using Reply = std::variant<Response, std::unique_ptr<PendingResponse>>;

// Tells a connection that its BodyStream or PendingResponse has news. Copies share one target. Any
// thread may call it at any time, also after the connection has gone.
class Wakeup {
 public:
  Wakeup() = default;
  // `target` must be quick and must not call back.
  explicit Wakeup(std::function<void()> target);
  void wake() const;
  // From when this returns, `target` is not called again.
  void disarm() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Answers a request. It runs on a server thread and must not wait for anything. It may throw: the
// client then gets a 500.
using Handler = std::function<Reply(const Request& request, const Wakeup& wakeup)>;

}  // namespace brisk::http
