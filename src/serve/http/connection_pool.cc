#include "serve/http/connection_pool.h"

#include <boost/asio/buffer.hpp>
#include <utility>
#include <vector>

#include "serve/http/wire.h"

namespace brisk::http {

using boost::asio::ip::tcp;
using boost::system::error_code;

ConnectionPool::ConnectionPool(const ServerOptions& options, const Router& the_router,
                               Observer the_observer)
    : limits(options.limits),
      origins(options.origins),
      router(the_router),
      observer(std::move(the_observer)) {}

std::shared_ptr<boost::asio::ssl::context> ConnectionPool::tls_context() const {
  absl::MutexLock lock(&tls_mutex_);
  return tls_context_;
}

void ConnectionPool::set_tls_context(std::shared_ptr<boost::asio::ssl::context> context) {
  absl::MutexLock lock(&tls_mutex_);
  tls_context_ = std::move(context);
}

bool ConnectionPool::admit(tcp::socket socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (limits.send_buffer_bytes > 0) {
    socket.set_option(tcp::socket::send_buffer_size(limits.send_buffer_bytes), ignored);
  }
  std::shared_ptr<Connection> connection;
  {
    absl::MutexLock lock(&mutex_);
    if (std::ssize(connections_) < limits.connections_max) {
      connection = make_connection(std::move(socket), *this);
      connections_.emplace(connection.get(), connection);
    }
  }
  if (connection != nullptr) {
    connection->start();
    return true;
  }
  if (tls_context() != nullptr) return false;  // it would not understand
  Response refusal = router.error(503, "too many connections; try again later", "/");
  refusal.headers.emplace_back("retry-after", "1");
  const std::string text =
      format_head(refusal, {.length = refusal.body.size(), .keep_alive = false}) + refusal.body;
  // NOLINTNEXTLINE(bugprone-use-after-move): whoever got the socket was started above.
  socket.non_blocking(true, ignored);
  socket.write_some(boost::asio::buffer(text), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
  return false;
}

bool ConnectionPool::wait_idle(double seconds) {
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return busy_ == 0; };
  return mutex_.AwaitWithTimeout(absl::Condition(&idle), absl::Seconds(seconds));
}

void ConnectionPool::stop_all() {
  std::vector<std::shared_ptr<Connection>> live;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [pointer, weak] : connections_) live.push_back(weak.lock());
  }
  for (const auto& connection : live) {
    if (connection != nullptr) connection->stop();
  }
  live.clear();
  absl::MutexLock lock(&mutex_);
  const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return connections_.empty(); };
  mutex_.Await(absl::Condition(&none));
}

int ConnectionPool::size() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(connections_.size());
}

void ConnectionPool::add_busy(int change) {
  absl::MutexLock lock(&mutex_);
  busy_ += change;
}

bool ConnectionPool::reserve_body(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  if (bytes > limits.bodies_bytes_max - body_bytes_) return false;
  body_bytes_ += bytes;
  return true;
}

void ConnectionPool::release_body(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  body_bytes_ -= bytes;
}

void ConnectionPool::remove(Connection* connection) {
  absl::MutexLock lock(&mutex_);
  connections_.erase(connection);
}

}  // namespace brisk::http
