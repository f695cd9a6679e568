// The HTTP server reading requests: well-formed ones, wrong ones, slow ones, greedy ones.
#include "tests/serve/http_server_fixture.h"

namespace brisk::http {
namespace {

using testing::HasSubstr;

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  start();
  RawClient raw = client();
  for (int i = 0; i < 3; ++i) {
    raw.get("/hello");
    const RawResponse response = raw.read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello");
    EXPECT_EQ(response.header("connection"), "keep-alive");
    EXPECT_EQ(response.header("x-request-id").substr(0, 4), "req-");
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpServerTest, EchoesAUsableRequestIdAndReplacesOthers) {
  start();
  RawClient raw = client();
  raw.get("/hello", "X-Request-Id: abc-1.2_3\r\n");
  EXPECT_EQ(raw.read_response().header("x-request-id"), "abc-1.2_3");
  raw.get("/hello", "X-Request-Id: a b\"<script>\r\n");
  EXPECT_EQ(raw.read_response().header("x-request-id").substr(0, 4), "req-");
}

TEST_F(HttpServerTest, ClosesWhenAskedTo) {
  start();
  RawClient raw = client();
  raw.get("/hello", "Connection: close\r\n");
  EXPECT_EQ(raw.read_response().header("connection"), "close");
  EXPECT_TRUE(raw.closed_within(2));
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  RawClient raw = client();
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests += "GET /items/" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  }
  raw.send(requests);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(raw.read_response().body, std::to_string(i));
}

TEST_F(HttpServerTest, KeepsWhatIsPipelinedBehindAStream) {
  start();
  RawClient raw = client();
  raw.get("/silence");
  ASSERT_TRUE(raw.read_until("\r\n\r\n"));
  raw.get("/hello");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  stage_.open = true;
  stage_.wake_all();
  ASSERT_TRUE(raw.read_until("0\r\n\r\n"));
  EXPECT_EQ(raw.read_response().body, "hello");
}

TEST_F(HttpServerTest, ReadsRequestsThatComeByteByByte) {
  start();
  RawClient raw = client();
  for (const char c :
       std::string("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")) {
    raw.send(std::string_view(&c, 1));
  }
  EXPECT_EQ(raw.read_response().body, "abc");
}

TEST_F(HttpServerTest, ReadsChunkedBodies) {
  start();
  RawClient raw = client();
  raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  raw.send("4;name=value\r\nwiki\r\n5\r\npedia\r\n");
  raw.send("0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(raw.read_response().body, "wikipedia");
  raw.get("/hello");
  EXPECT_EQ(raw.read_response().body, "hello");
}

TEST_F(HttpServerTest, AnswersExpectContinue) {
  start();
  RawClient raw = client();
  raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(raw.read_response().status, 100);
  raw.send("ok");
  EXPECT_EQ(raw.read_response().body, "ok");
  RawClient odd = client();
  odd.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: a-pony\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(odd.read_response().status, 417);
}

TEST_F(HttpServerTest, RefusesABodyWithoutReadingItWhenTheHeadIsWrong) {
  start({}, "key");
  RawClient raw = client();
  raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
  EXPECT_EQ(raw.read_response().status, 401);
  EXPECT_TRUE(raw.closed_within(5));
}

TEST_F(HttpServerTest, RefusesMalformedRequests) {
  start();
  EXPECT_EQ(status_of("nonsense\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /hello HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(status_of("GET /hello HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET hello HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /items/%zz HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /items/%00 HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /hello HTTP/2.0\r\nHost: x\r\n\r\n"), 505);
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                      "Content-Length: 2\r\n\r\nab"),
            400);
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            400);
}

TEST_F(HttpServerTest, RefusesTransferEncodingsThatCouldSmuggleRequests) {
  start();
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
  EXPECT_EQ(
      status_of(
          "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
      501);
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400);
}

TEST_F(HttpServerTest, DecodesPathsAndFindsRoutes) {
  start();
  RawClient raw = client();
  raw.get("/items/org/a%20model?x=1");
  EXPECT_EQ(raw.read_response().body, "org/a model");
  raw.get("http://elsewhere/hello");
  EXPECT_EQ(raw.read_response().body, "hello");
  raw.get("/items/");
  EXPECT_EQ(raw.read_response().status, 404);
  raw.get("/nothing");
  EXPECT_EQ(raw.read_response().status, 404);
  raw.get("/echo");
  const RawResponse response = raw.read_response();
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.header("allow"), "POST");
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  start();
  RawClient raw = client();
  raw.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(raw.read_response(20, true).header("content-length"), "5");
  raw.get("/hello");
  EXPECT_EQ(raw.read_response().body, "hello");
}

TEST_F(HttpServerTest, LimitsHeadersAndBodies) {
  start({.header_bytes_max = 4096, .body_bytes_max = 1000});
  RawClient large_header = client();
  large_header.get("/hello", "X: " + std::string(8000, 'x') + "\r\n");
  EXPECT_EQ(large_header.read_response().status, 431);
  RawClient large_body = client();
  large_body.post("/echo", std::string(200000, 'x'));
  EXPECT_EQ(large_body.read_response().status, 413);
  RawClient chunked = client();
  chunked.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 3; ++i) chunked.send("200\r\n" + std::string(512, 'x') + "\r\n");
  EXPECT_EQ(chunked.read_response().status, 413);
  RawClient fits = client();
  fits.post("/echo", std::string(1000, 'x'));
  EXPECT_EQ(fits.read_response().body.size(), 1000u);
}

TEST_F(HttpServerTest, LimitsTheMemoryOfAllArrivingBodies) {
  start({.body_bytes_max = 1000, .bodies_bytes_max = 1500});
  RawClient slow = client();
  slow.send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_EQ(slow.read_response().status, 100);
  RawClient chunked = client();
  chunked.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  EXPECT_EQ(chunked.read_response().status, 503) << "it could become as large as any";
  RawClient small = client();
  small.post("/echo", std::string(500, 'x'));
  EXPECT_EQ(small.read_response().status, 200);
  slow.send(std::string(1000, 'x'));
  EXPECT_EQ(slow.read_response().status, 200);
  small.post("/echo", std::string(1000, 'x'));
  EXPECT_EQ(small.read_response().status, 200) << "the room is given back";
}

TEST_F(HttpServerTest, SlowHeadersAndBodiesAreTimedOut) {
  start({.header_seconds_max = 0.3, .body_seconds_max = 0.3});
  RawClient slow_head = client();
  slow_head.send("GET /hello HTT");
  EXPECT_EQ(slow_head.read_response().status, 408);
  RawClient slow_body = client();
  slow_body.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(slow_body.read_response().status, 408);
  RawClient trickle = client();  // every byte comes in time, the whole does not
  trickle.send("GET /hello HTTP/1.1\r\n");
  int sent = 0;
  while (sent < 100 && trickle.send("x")) {
    ++sent;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_LT(sent, 100);
  RawClient mute = client();
  EXPECT_TRUE(mute.closed_within(2));
}

TEST_F(HttpServerTest, ClosesIdleConnections) {
  start({.keep_alive_seconds = 0.2});
  RawClient raw = client();
  raw.get("/hello");
  EXPECT_EQ(raw.read_response().status, 200);
  EXPECT_TRUE(raw.closed_within(2));
}

TEST_F(HttpServerTest, RefusesConnectionsBeyondTheLimit) {
  start({.connections_max = 2});
  RawClient first = client();
  first.get("/hello");
  EXPECT_EQ(first.read_response().status, 200);
  {
    RawClient second = client();
    second.get("/hello");
    EXPECT_EQ(second.read_response().status, 200);
    RawClient third = client();
    EXPECT_EQ(third.read_response().status, 503);
    EXPECT_TRUE(third.closed_within(2));
  }
  for (int i = 0; i < 200 && server_->connections() > 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  RawClient fourth = client();
  fourth.get("/hello");
  EXPECT_EQ(fourth.read_response().status, 200);
}

TEST_F(HttpServerTest, AsksForTheKeyWhereTheRouteSaysSo) {
  start({}, "s3cret");
  RawClient raw = client();
  raw.get("/hello");
  EXPECT_EQ(raw.read_response().status, 200);
  raw.get("/items/1");
  const RawResponse refused = raw.read_response();
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("www-authenticate"), "Bearer");
  for (const char* wrong :
       {"Bearer s3cre", "Bearer s3crets", "Bearer ", "Basic s3cret", "Bearer S3cret"}) {
    raw.get("/items/1", "Authorization: " + std::string(wrong) + "\r\n");
    EXPECT_EQ(raw.read_response().status, 401) << wrong;
  }
  raw.get("/items/1", "Authorization: bearer s3cret\r\n");
  EXPECT_EQ(raw.read_response().status, 200);
  raw.get("/items/1", "x-api-key: s3cret\r\n");
  EXPECT_EQ(raw.read_response().status, 200);
}

TEST_F(HttpServerTest, AThrowingHandlerIsA500ThatTellsNothing) {
  start();
  RawClient raw = client();
  raw.get("/throw");
  const RawResponse response = raw.read_response();
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(response.body, testing::Not(HasSubstr("secret")));
  raw.get("/hello");
  EXPECT_EQ(raw.read_response().status, 200);
}

TEST(Server, SaysWhyItCannotListen) {
  const Router router({}, std::vector<ApiKey>{}, text_response);
  EXPECT_EQ(Server::start({.host = "not an address", .port = 0}, router).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Server::start({.port = 70000}, router).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto first = Server::start({.port = 0}, router);
  ASSERT_TRUE(first.ok());
  const auto second = Server::start({.port = (*first)->port()}, router);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST(Router, MatchesPatterns) {
  std::vector<std::string> params;
  EXPECT_TRUE(match_path("/", "/", params));
  EXPECT_TRUE(match_path("/a/{x}/c", "/a/b/c", params));
  EXPECT_THAT(params, testing::ElementsAre("b"));
  EXPECT_FALSE(match_path("/a/{x}/c", "/a//c", params));
  EXPECT_FALSE(match_path("/a/{x}", "/a/b/c", params));
  EXPECT_FALSE(match_path("/a", "/a/", params));
  EXPECT_FALSE(match_path("/a/", "/a", params));
  EXPECT_TRUE(match_path("/a/{x*}", "/a/b/c/", params));
  EXPECT_THAT(params, testing::ElementsAre("b/c/"));
  EXPECT_FALSE(match_path("/a", "", params));
}

}  // namespace
}  // namespace brisk::http
