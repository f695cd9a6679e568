// What the web console needs of the server: its page, and requests that can be seen and cancelled.
#include <thread>

#include "serve/console/console_page.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;
using test::RawClient;
using test::RawResponse;
using testing::HasSubstr;

constexpr const char* kRequests = "/v1/brisk/requests";

class ConsoleTest : public test::ApiTest {
 protected:
  RawResponse send(const char* method, const std::string& path, const char* headers = "") const {
    RawClient raw = client();
    raw.send(fmt::format("{} {} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{}\r\n", method, path,
                         headers));
    return raw.read_response();
  }

  // The listed requests, once there are `count`.
  Json listed(size_t count, const char* headers = "") const {
    Json data;
    for (int i = 0; i < 500; ++i) {
      data = Json::parse(send("GET", kRequests, headers).body)["data"];
      if (data.size() == count) return data;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "expected " << count << " requests: " << data;
    return data;
  }
};

TEST_F(ConsoleTest, RunningRequestsAreListedUntilTheyEnd) {
  start({.step = std::chrono::milliseconds(2)});
  EXPECT_TRUE(listed(0).empty());
  RawClient first = client();
  first.post("/v1/completions", R"({"prompt":["ab","cd"],"max_tokens":200,"n":2})");
  const Json one = listed(1)[0];
  EXPECT_THAT(one["id"], testing::StartsWith("cmpl-"));
  EXPECT_EQ(one["object"], "brisk.request");
  EXPECT_EQ(one["model"], "org/fake");
  EXPECT_EQ(one["prompt_tokens"], 4 + 2) << "two bytes and a BOS each";
  EXPECT_GE(one["age_seconds"], 0);
  for (int i = 0; i < 500 && listed(1)[0]["state"] != "decode"; ++i) {
  }
  EXPECT_GT(listed(1)[0]["completion_tokens"], 0);
  RawClient second = client();
  second.post("/v1/chat/completions",
              R"({"model":"alias","messages":[{"role":"user","content":"ab"}],"stream":true})");
  const Json two = listed(2);
  EXPECT_EQ(two[0]["id"], one["id"]) << "oldest first";
  EXPECT_THAT(two[1]["id"], testing::StartsWith("chatcmpl-"));
  EXPECT_EQ(two[1]["model"], "alias");
  EXPECT_EQ(first.read_response().status, 200);
  EXPECT_EQ(second.read_response().status, 200);
  EXPECT_TRUE(listed(0).empty());
}

TEST_F(ConsoleTest, ACancelledRequestEndsWithAnErrorThatIsNotTriedAgain) {
  start({.step = std::chrono::milliseconds(2)});
  RawClient whole = client();
  whole.post("/v1/completions", R"({"prompt":"ab","max_tokens":500})");
  const std::string id = listed(1)[0]["id"];
  const Json answer = Json::parse(send("DELETE", kRequests + ("/" + id)).body);
  EXPECT_EQ(answer["id"], id);
  EXPECT_EQ(answer["cancelled"], true);
  const Answer ended = to_answer(whole.read_response());
  EXPECT_EQ(ended.status, 499);
  EXPECT_EQ(ended.json["error"]["type"], "cancelled_error");
  EXPECT_TRUE(listed(0).empty());
  EXPECT_TRUE(engine_->idle_within(5));
  EXPECT_EQ(send("DELETE", kRequests + ("/" + id)).status, 404);
}

TEST_F(ConsoleTest, ACancelledStreamEndsWithAnErrorAndWithoutDone) {
  start({.step = std::chrono::milliseconds(2)});
  RawClient streaming = client();
  streaming.post("/v1/completions", R"({"prompt":"ab","max_tokens":500,"stream":true})");
  const std::string id = listed(1)[0]["id"];
  EXPECT_EQ(send("DELETE", kRequests + ("/" + id)).status, 200);
  const Events events = test::parse_events(streaming.read_response());
  EXPECT_EQ(events.status, 200);
  EXPECT_FALSE(events.done);
  ASSERT_FALSE(events.chunks.empty());
  EXPECT_EQ(events.chunks.back()["error"]["type"], "cancelled_error");
  listed(0);
  EXPECT_THAT(get("/metrics").raw.body,
              HasSubstr(R"(model_name="org/fake",finished_reason="abort"} 1)"));
}

TEST_F(ConsoleTest, AKeySeesAndCancelsOnlyItsOwn) {
  keys_ = {{.key = "alice"}, {.key = "bob"}};
  start({.step = std::chrono::milliseconds(2)});
  RawClient hers = client();
  hers.post("/v1/completions", R"({"prompt":"ab","max_tokens":500})", "x-api-key: alice\r\n");
  const std::string id = listed(1, "x-api-key: alice\r\n")[0]["id"];
  EXPECT_TRUE(listed(0, "x-api-key: bob\r\n").empty());
  EXPECT_EQ(send("DELETE", kRequests + ("/" + id), "x-api-key: bob\r\n").status, 404);
  EXPECT_EQ(send("GET", kRequests).status, 401);
  EXPECT_EQ(send("DELETE", kRequests + ("/" + id)).status, 401);
  EXPECT_EQ(listed(1, "x-api-key: alice\r\n").size(), 1u) << "still running";
  EXPECT_EQ(send("DELETE", kRequests + ("/" + id), "x-api-key: alice\r\n").status, 200);
  EXPECT_EQ(hers.read_response().status, 499);
}

TEST_F(ConsoleTest, TheOnlyKeySeesWhateverUserNamesItSends) {
  keys_ = {{.key = "alice"}};
  start({.step = std::chrono::milliseconds(2)});
  RawClient ann = client();
  ann.post("/v1/completions", R"({"prompt":"ab","max_tokens":500,"user":"ann"})",
           "x-api-key: alice\r\n");
  const std::string id = listed(1, "x-api-key: alice\r\n")[0]["id"];
  EXPECT_EQ(send("DELETE", kRequests + ("/" + id), "x-api-key: alice\r\n").status, 200);
  EXPECT_EQ(ann.read_response().status, 499);
}

TEST_F(ConsoleTest, ThePageNeedsNoKeyAndMayLoadNothing) {
  keys_ = {{.key = "alice"}};
  start();
  std::vector<http::Route> routes = service_->routes();
  routes.push_back(console::page_route());
  const http::Router router(std::move(routes), keys_, api::error_in_style);
  server_ = *http::Server::start({.port = 0, .threads = 1}, router);
  const RawResponse page = send("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.body, console::page());
  EXPECT_EQ(page.header("content-security-policy"), console::security_policy());
  for (const char* each :
       {"default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
        "frame-ancestors 'none'", "script-src 'sha256-", "style-src 'sha256-"}) {
    EXPECT_THAT(console::security_policy(), HasSubstr(each));
  }
  EXPECT_THAT(std::string(console::security_policy()), testing::Not(HasSubstr("unsafe")));
  EXPECT_EQ(page.header("x-content-type-options"), "nosniff");
  EXPECT_EQ(page.header("x-frame-options"), "DENY");
  EXPECT_EQ(send("GET", "/v1/models").status, 401);
  EXPECT_EQ(send("POST", "/").status, 405);
  server_.reset();
}

TEST_F(ConsoleTest, ThePageIsSmallAndNamesNoOtherHost) {
  EXPECT_LT(console::page().size(), 192u << 10);
  EXPECT_TRUE(console::page().starts_with("<!doctype html>"));
  for (const char* forbidden : {" src=", "<link rel=\"stylesheet", "@import", "url(http"}) {
    EXPECT_EQ(console::page().find(forbidden), std::string_view::npos) << forbidden;
  }
}

}  // namespace
}  // namespace brisk
