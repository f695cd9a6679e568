// An HTTP/1.1 server: accepts connections, reads requests within limits, asks the router, writes
// answers. Every limit that a client can run into is in `Limits`.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/http/origin.h"
#include "serve/http/router.h"

namespace brisk::http {

struct Limits {
  int connections_max = 4096;                     // beyond: 503 and closed
  uint32_t header_bytes_max = 32768;              // request line and headers; beyond: 431
  uint64_t body_bytes_max = 16 << 20;             // beyond: 413
  uint64_t bodies_bytes_max = uint64_t{4} << 30;  // all that are arriving at once; beyond: 503
  double header_seconds_max =
      10;                        // from the first byte of a request to the end of its headers: 408
  double body_seconds_max = 60;  // from there to the end of its body: 408
  double keep_alive_seconds = 75;  // between requests; then closed
  double write_seconds_max = 30;   // for one write that the client does not take; then cancelled
  double request_seconds_max = 0;  // from its head to the end of its answer: 504; 0: any
  double ping_seconds = 15;        // silence in a stream before its keep-alive text is sent
  size_t pipelined_bytes_max = 65536;  // read ahead while a request is being answered
  int send_buffer_bytes = 0;           // of the socket; 0: the system's choice
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;  // 0: any free one
  int threads = 2;
  Limits limits = {};
  // PEM files (tls.h); both or none. Without them: no TLS.
  std::string tls_certificate{};
  std::string tls_key{};
  OriginPolicy origins{};
};

// One finished exchange, for logs and metrics. `route` is the pattern, empty when none matched.
struct Exchange {
  std::string_view route;
  std::string_view method;
  int status = 0;
  double seconds = 0;  // from the end of the request's head to the end of the answer
  std::string_view request_id{};
  std::string_view key{};  // the name of its API key; may be empty
};
using Observer = std::function<void(const Exchange&)>;  // any server thread

// Any thread may call anything.
class Server {
 public:
  // Listens and answers from now on. `router` must outlive the server.
  // Errors: InvalidArgument (not an address, unusable TLS files), Unavailable (the address cannot
  // be bound, and why).
  static absl::StatusOr<std::unique_ptr<Server>> start(const ServerOptions& options,
                                                       const Router& router,
                                                       Observer observer = nullptr);
  virtual ~Server() = default;  // stops

  virtual std::string host() const = 0;
  virtual int port() const = 0;
  virtual int connections() const = 0;

  // Reads the files of TLS again, for connections that come from now on. An error leaves what is.
  virtual absl::Status reload_tls() = 0;

  // Accepts no new connections. Those there are are answered, and closed after their next answer.
  virtual void begin_drain() = 0;
  // Waits up to `seconds` until no request is being answered. True: none is.
  virtual bool wait_idle(double seconds) = 0;
  // Closes every connection, whatever it is doing, and returns when all are gone. Idempotent.
  virtual void stop() = 0;
};

// Whether `host` reaches this machine only.
bool is_loopback(const std::string& host);

}  // namespace brisk::http
