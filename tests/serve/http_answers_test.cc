// The HTTP server giving answers that take time, to clients that are slow or suddenly gone; and how
// it ends.
#include "tests/serve/http_server_fixture.h"

namespace brisk::http {
namespace {

using testing::HasSubstr;

TEST_F(HttpServerTest, StreamsInChunksAndGoesOn) {
  start();
  RawClient raw = client();
  raw.get("/count");
  const RawResponse response = raw.read_response();
  EXPECT_EQ(response.header("transfer-encoding"), "chunked");
  EXPECT_EQ(response.body, "5 4 3 2 1 ");
  EXPECT_TRUE(response.whole);
  raw.get("/hello");
  EXPECT_EQ(raw.read_response().status, 200);
  EXPECT_TRUE(stage_.alive_becomes(0));
}

TEST_F(HttpServerTest, StreamsToHttp10UntilClose) {
  start();
  RawClient raw = client();
  raw.send("GET /count HTTP/1.0\r\n\r\n");
  const RawResponse response = raw.read_response();
  EXPECT_EQ(response.header("transfer-encoding"), "");
  EXPECT_EQ(response.body, "5 4 3 2 1 ");
  EXPECT_TRUE(response.whole);
}

TEST_F(HttpServerTest, PingsThroughSilence) {
  start({.ping_seconds = 0.05});
  RawClient raw = client();
  raw.get("/silence");
  EXPECT_TRUE(raw.read_until(": ping\n\n"));
  EXPECT_TRUE(raw.read_until(": ping\n\n"));
  stage_.open = true;
  stage_.wake_all();
  EXPECT_TRUE(raw.read_until("spoken"));
}

TEST_F(HttpServerTest, WaitsForAPendingAnswer) {
  start();
  RawClient raw = client();
  raw.get("/later");
  EXPECT_TRUE(stage_.alive_becomes(1));
  EXPECT_EQ(raw.read_response(0.1).status, 0);
  stage_.open = true;
  stage_.wake_all();
  EXPECT_EQ(raw.read_response().body, "later");
  EXPECT_TRUE(stage_.alive_becomes(0));
}

TEST_F(HttpServerTest, AClientThatLeavesEndsItsStreamOrPendingAnswer) {
  start();
  for (const char* path : {"/silence", "/later", "/flood"}) {
    RawClient polite = client();
    RawClient rude = client();
    polite.get(path);
    rude.get(path);
    ASSERT_TRUE(stage_.alive_becomes(2)) << path;
    polite.close();
    EXPECT_TRUE(stage_.alive_becomes(1)) << path;
    rude.reset();
    EXPECT_TRUE(stage_.alive_becomes(0)) << path;
  }
  stage_.wake_all();  // late news for nobody
}

TEST_F(HttpServerTest, ASlowReaderIsNotPulledAheadAndIsCancelledInTheEnd) {
  start({.write_seconds_max = 0.5, .send_buffer_bytes = 65536});
  RawClient slow(server_->port(), 65536);
  slow.get("/flood");
  ASSERT_TRUE(stage_.alive_becomes(1));
  RawClient other = client();
  for (int i = 0; i < 10; ++i) {
    other.get("/hello");
    EXPECT_EQ(other.read_response().status, 200) << "a slow reader slows only itself";
  }
  EXPECT_LT(stage_.pulls, 200) << "nothing piles up for it";
  EXPECT_TRUE(stage_.alive_becomes(0)) << "cancelled when it takes nothing for too long";
}

TEST_F(HttpServerTest, ManyClientsAtOnce) {
  start();
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([this, &right] {
      RawClient raw = client();
      for (int i = 0; i < 50; ++i) {
        raw.get(i % 2 == 0 ? "/hello" : "/count");
        const RawResponse response = raw.read_response();
        if (response.body == (i % 2 == 0 ? "hello" : "5 4 3 2 1 ")) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 16 * 50);
}

TEST_F(HttpServerTest, DrainFinishesWhatRunsAndTakesNothingNew) {
  start();
  RawClient idle = client();
  idle.get("/hello");
  EXPECT_EQ(idle.read_response().status, 200);
  RawClient running = client();
  running.get("/silence");
  ASSERT_TRUE(stage_.alive_becomes(1));
  server_->begin_drain();
  EXPECT_FALSE(server_->wait_idle(0.1));
  idle.get("/hello");
  EXPECT_EQ(idle.read_response().header("connection"), "close");
  EXPECT_TRUE(idle.closed_within(2));
  RawClient late = client();
  late.get("/hello");
  EXPECT_EQ(late.read_response(1).status, 0);
  stage_.open = true;
  stage_.wake_all();
  EXPECT_EQ(running.read_response().body, "spoken");
  EXPECT_TRUE(server_->wait_idle(5));
}

TEST_F(HttpServerTest, StopEndsEverything) {
  start();
  std::vector<RawClient> clients;
  for (const char* path : {"/silence", "/later", "/flood", "/hello"}) {
    clients.push_back(client());
    clients.back().get(path);
  }
  ASSERT_TRUE(stage_.alive_becomes(3));
  server_->stop();
  EXPECT_EQ(stage_.alive, 0);
  EXPECT_EQ(server_->connections(), 0);
  for (RawClient& each : clients) EXPECT_TRUE(each.closed_within(2));
}

TEST_F(HttpServerTest, TellsTheObserverTheRouteAndNotThePath) {
  start();
  RawClient raw = client();
  raw.get("/items/7");
  raw.read_response();
  raw.get("/nothing");
  raw.read_response();
  server_->stop();
  EXPECT_THAT(seen(), testing::ElementsAre("GET /items/{id*} 200", "GET  404"));
}

}  // namespace
}  // namespace brisk::http
