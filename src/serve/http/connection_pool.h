// What the connections of a server share: limits, router, and the list of themselves. Internal to
// the server.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "base/clock.h"
#include "serve/http/connection.h"
#include "serve/http/router.h"
#include "serve/http/server.h"

namespace brisk::http {

// Any thread may call anything.
class ConnectionPool {
 public:
  ConnectionPool(const ServerOptions& options, const Router& router, Observer observer);

  // Takes over `socket`, whose executor must be a strand of its own. False: there are too many
  // already, and the client was told so.
  bool admit(boost::asio::ip::tcp::socket socket);

  void begin_drain() { draining_ = true; }
  bool draining() const { return draining_; }
  bool wait_idle(double seconds);
  void stop_all();
  int size() const;

  // For connections: a request begins (1) or has ended (-1) being answered.
  void add_busy(int change);
  // For connections: room for a body that is about to be read. False: there is none now.
  bool reserve_body(uint64_t bytes);
  void release_body(uint64_t bytes);
  // For connections, at their end.
  void remove(Connection* connection);

  // For connections that begin; null: without TLS.
  std::shared_ptr<boost::asio::ssl::context> tls_context() const;
  void set_tls_context(std::shared_ptr<boost::asio::ssl::context> context);

  const Limits limits;
  const OriginPolicy origins;
  const Router& router;
  const Observer observer;
  const SteadyClock clock;

 private:
  std::atomic<bool> draining_ = false;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<Connection*, std::weak_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  int busy_ ABSL_GUARDED_BY(mutex_) = 0;             // requests being answered
  uint64_t body_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // reserved
  mutable absl::Mutex tls_mutex_;
  std::shared_ptr<boost::asio::ssl::context> tls_context_ ABSL_GUARDED_BY(tls_mutex_);
};

}  // namespace brisk::http
