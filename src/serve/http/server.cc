#include "serve/http/server.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "serve/http/connection_pool.h"
#include "serve/http/tls.h"

namespace brisk::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

absl::StatusOr<tcp::endpoint> resolve(const std::string& host, int port) {
  if (port < 0 || port > 65535) return invalid_input("{} is not a port; use 0 to 65535", port);
  asio::io_context context;
  tcp::resolver resolver(context);
  error_code error;
  const auto results = resolver.resolve(
      host, std::to_string(port), tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || results.empty()) {
    return invalid_input("{} is not an address of this machine: {}", host, error.message());
  }
  return results.begin()->endpoint();
}

class AsioServer final : public Server {
 public:
  AsioServer(const ServerOptions& options, const Router& router, Observer observer)
      : options_(options),
        pool_(options, router, std::move(observer)),
        context_(options.threads),
        work_(context_.get_executor()),
        accept_strand_(asio::make_strand(context_)),
        acceptor_(accept_strand_) {}

  // What asio could throw here there is nobody to catch. NOLINTNEXTLINE(bugprone-exception-escape)
  ~AsioServer() override { stop(); }

  absl::Status listen(const tcp::endpoint& endpoint) {
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) local_ = acceptor_.local_endpoint(error);
    if (!error) return absl::OkStatus();
    return system_error("cannot listen on {}:{}: {}", endpoint.address().to_string(),
                        endpoint.port(), error.message());
  }

  void run(int threads) {
    asio::co_spawn(accept_strand_, accept(), asio::detached);
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
  }

  std::string host() const override { return local_.address().to_string(); }
  int port() const override { return local_.port(); }
  int connections() const override { return pool_.size(); }

  void begin_drain() override {
    pool_.begin_drain();
    asio::post(accept_strand_, [this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
  }

  absl::Status reload_tls() override {
    if (options_.tls_certificate.empty() && options_.tls_key.empty()) return absl::OkStatus();
    BRISK_ASSIGN_OR_RETURN(auto context,
                           make_tls_context(options_.tls_certificate, options_.tls_key));
    pool_.set_tls_context(std::move(context));
    return absl::OkStatus();
  }

  bool wait_idle(double seconds) override { return pool_.wait_idle(seconds); }

  void stop() override {
    absl::MutexLock lock(&stop_mutex_);
    if (stopped_) return;
    begin_drain();
    pool_.stop_all();
    context_.stop();
    for (std::thread& thread : threads_) thread.join();
    stopped_ = true;
  }

 private:
  asio::awaitable<void> accept();

  void serve() {
    while (true) {
      try {
        context_.run();
        return;
      } catch (const std::exception& error) {  // e.g. out of memory: that connection has ended
        spdlog::error("a connection failed: {}", error.what());
      }
    }
  }

  const ServerOptions options_;
  ConnectionPool pool_;
  asio::io_context context_;
  // Without it the threads would leave when the last connection closes during a drain, and what is
  // posted to stop the rest would never run.
  const asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::strand<asio::io_context::executor_type> accept_strand_;
  tcp::acceptor acceptor_;
  tcp::endpoint local_;
  std::vector<std::thread> threads_;
  absl::Mutex stop_mutex_;
  bool stopped_ ABSL_GUARDED_BY(stop_mutex_) = false;
};

asio::awaitable<void> AsioServer::accept() {
  asio::steady_timer pause(accept_strand_);
  while (!pool_.draining()) {
    error_code error;
    tcp::socket socket(asio::make_strand(context_));
    co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
    if (pool_.draining()) break;
    if (!error) {
      pool_.admit(std::move(socket));
      continue;
    }
    // Out of descriptors or memory: those that are open will close one day.
    spdlog::warn("cannot accept a connection: {}", error.message());
    pause.expires_after(std::chrono::milliseconds(100));
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::start(const ServerOptions& options,
                                                      const Router& router, Observer observer) {
  if (options.threads < 1 || options.threads > 1024) {
    return invalid_input("{} HTTP threads; use 1 to 1024", options.threads);
  }
  BRISK_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, resolve(options.host, options.port));
  auto server = std::make_unique<AsioServer>(options, router, std::move(observer));
  BRISK_RETURN_IF_ERROR(server->reload_tls());
  BRISK_RETURN_IF_ERROR(server->listen(endpoint));
  server->run(options.threads);
  return server;
}

bool is_loopback(const std::string& host) {
  if (host == "localhost") return true;
  error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  return !error && address.is_loopback();
}

}  // namespace brisk::http
