// An HTTP server whose handlers do what tests need of them: answer, stream, wait, throw.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serve/http/server.h"
#include "tests/serve/raw_client.h"

namespace brisk::http {

using test::RawClient;
using test::RawResponse;

inline Response text_response(int status, std::string_view message, std::string_view = {},
                              std::string_view = {}) {
  Response response;
  response.status = status;
  response.content_type = "text/plain";
  response.body = std::string(message);
  return response;
}

// What the handlers below share with the tests.
struct Stage {
  std::atomic<int> alive = 0;  // streams and pending answers that exist
  std::atomic<int> pulls = 0;
  std::mutex mutex;
  std::vector<Wakeup> wakeups;
  std::atomic<bool> open = false;  // pending answers may be given

  void wake_all() {
    const std::lock_guard<std::mutex> lock(mutex);
    for (const Wakeup& wakeup : wakeups) wakeup.wake();
  }
  void keep(const Wakeup& wakeup) {
    const std::lock_guard<std::mutex> lock(mutex);
    wakeups.push_back(wakeup);
  }
  // Waits until `alive` is `expected`.
  bool alive_becomes(int expected) const {
    for (int i = 0; i < 1000 && alive != expected; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return alive == expected;
  }
};

class Counted {
 public:
  explicit Counted(Stage& stage) : stage_(stage) { ++stage_.alive; }
  ~Counted() { --stage_.alive; }

 protected:
  Stage& stage_;
};

class Countdown : public BodyStream, Counted {  // "3 2 1 "
 public:
  Countdown(Stage& stage, int from) : Counted(stage), left_(from) {}
  bool pull(std::string& out) override {
    ++stage_.pulls;
    if (left_ > 0) out += std::to_string(left_--) + " ";
    return left_ == 0;
  }

 private:
  int left_;
};

class Flood : public BodyStream, Counted {  // never ends
 public:
  explicit Flood(Stage& stage) : Counted(stage) {}
  bool pull(std::string& out) override {
    ++stage_.pulls;
    out.append(65536, 'x');
    return false;
  }
};

class Silence : public BodyStream, Counted {
 public:
  explicit Silence(Stage& stage) : Counted(stage) {}
  bool pull(std::string& out) override {
    if (stage_.open) out += "spoken";
    return stage_.open;
  }
  std::string_view keepalive() const override { return ": ping\n\n"; }
};

class Later : public PendingResponse, Counted {
 public:
  explicit Later(Stage& stage) : Counted(stage) {}
  std::optional<Response> poll() override {
    if (!stage_.open) return std::nullopt;
    return text_response(200, "later");
  }
};

class HttpServerTest : public testing::Test {
 protected:
  void start(Limits limits = {}, const std::string& api_key = "") {
    std::vector<ApiKey> keys;
    if (!api_key.empty()) keys.push_back({.key = api_key});
    std::vector<Route> routes = {
        {"GET", "/hello", Access::kOpen,
         [](const Request&, const Wakeup&) { return text_response(200, "hello"); }},
        {"POST", "/echo", Access::kNeedsKey,
         [](const Request& request, const Wakeup&) { return text_response(200, request.body); }},
        {"GET", "/items/{id*}", Access::kNeedsKey,
         [](const Request& request, const Wakeup&) {
           return text_response(200, request.params[0]);
         }},
        {"GET", "/throw", Access::kOpen,
         [](const Request&, const Wakeup&) -> Reply { throw std::runtime_error("secret"); }},
        {"GET", "/count", Access::kOpen, stream<Countdown>(5)},
        {"GET", "/flood", Access::kOpen, stream<Flood>()},
        {"GET", "/silence", Access::kOpen, stream<Silence>()},
        {"GET", "/later", Access::kOpen,
         [this](const Request&, const Wakeup& wakeup) -> Reply {
           stage_.keep(wakeup);
           return std::make_unique<Later>(stage_);
         }},
    };
    router_ = std::make_unique<Router>(std::move(routes), keys, text_response);
    auto observer = [this](const Exchange& exchange) {
      const std::lock_guard<std::mutex> lock(stage_.mutex);
      seen_.push_back(std::string(exchange.method) + " " + std::string(exchange.route) + " " +
                      std::to_string(exchange.status));
    };
    auto server = Server::start({.port = 0, .threads = 2, .limits = limits}, *router_, observer);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }

  template <class Stream, class... Args>
  Handler stream(Args... args) {
    return [this, args...](const Request&, const Wakeup& wakeup) -> Reply {
      stage_.keep(wakeup);
      Response response;
      response.content_type = "text/event-stream";
      response.stream = std::make_unique<Stream>(stage_, args...);
      return response;
    };
  }

  RawClient client() const { return RawClient(server_->port()); }

  std::vector<std::string> seen() {
    const std::lock_guard<std::mutex> lock(stage_.mutex);
    return seen_;
  }

  // The status of the answer to raw `text`.
  int status_of(std::string_view text) const {
    RawClient raw = client();
    raw.send(text);
    return raw.read_response().status;
  }

  Stage stage_;
  std::vector<std::string> seen_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<Server> server_;  // last: it stops before what it uses goes
};

}  // namespace brisk::http
