// OpenAI's responses over an engine that can be foretold, and the store behind them.
#include "serve/api/response_store.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using api::ResponseStore;
using api::StoredResponse;
using test::Answer;
using testing::HasSubstr;

class ResponsesTest : public test::ApiTest {
 protected:
  Answer erase(const std::string& path) const {
    test::RawClient raw = client();
    raw.send(fmt::format("DELETE {} HTTP/1.1\r\nHost: x\r\n\r\n", path));
    return to_answer(raw.read_response());
  }
};

TEST_F(ResponsesTest, AnswersWithItems) {
  start();
  const Answer answer = post(
      "/v1/responses",
      R"({"input":"hello$","instructions":"be","metadata":{"a":"b"},"temperature":0.5,"top_logprobs":2})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json["object"], "response");
  EXPECT_EQ(answer.json["status"], "completed");
  EXPECT_EQ(answer.json["model"], "org/fake");
  EXPECT_EQ(answer.json["metadata"]["a"], "b");
  EXPECT_EQ(answer.json["temperature"], 0.5);
  const Json& item = answer.json["output"][0];
  EXPECT_EQ(item["type"], "message");
  EXPECT_EQ(item["content"][0]["text"], "system:be|user:hello");
  EXPECT_EQ(item["content"][0]["logprobs"].size(), 20u);
  EXPECT_EQ(item["content"][0]["logprobs"][0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(answer.json["usage"]["total_tokens"], 43);
}

TEST_F(ResponsesTest, GoesOnFromAStoredResponse) {
  start();
  const Answer first = post("/v1/responses", R"({"input":"abc$"})");
  ASSERT_EQ(first.status, 200) << first.raw.body;
  const std::string id = first.json["id"];
  const Answer second = post("/v1/responses", R"({"previous_response_id":")" + id + R"(","input":[
      {"role":"user","content":[{"type":"input_text","text":"def"}]}]})");
  ASSERT_EQ(second.status, 200) << second.raw.body;
  EXPECT_THAT(second.json["output"][0]["content"][0]["text"].get<std::string>(),
              testing::StartsWith("user:abc"));
  EXPECT_EQ(second.json["usage"]["input_tokens"],
            std::string("user:abc$|assistant:user:abc|user:def|").size());
  EXPECT_EQ(get("/v1/responses/" + id).json, first.json);
  EXPECT_EQ(erase("/v1/responses/" + id).json["deleted"], true);
  EXPECT_EQ(get("/v1/responses/" + id).status, 404);
  EXPECT_EQ(erase("/v1/responses/" + id).status, 404);
}

TEST_F(ResponsesTest, ListsWhatAResponseWasGiven) {
  start();
  const Answer first = post("/v1/responses", R"({"input":"abc$"})");
  const Answer second =
      post("/v1/responses", R"({"previous_response_id":)" + first.json["id"].dump() + R"(,"input":[
      {"role":"user","content":[{"type":"input_text","text":"def$"}]}]})");
  ASSERT_EQ(second.status, 200) << second.raw.body;
  const std::string path = "/v1/responses/" + second.json["id"].get<std::string>() + "/input_items";
  const Answer all = get(path + "?order=asc");
  ASSERT_EQ(all.status, 200) << all.raw.body;
  const Json& data = all.json["data"];
  ASSERT_EQ(data.size(), 3u) << all.raw.body;
  EXPECT_EQ(data[0]["content"][0]["text"], "abc$");
  EXPECT_EQ(data[0]["content"][0]["type"], "input_text");
  EXPECT_EQ(data[1], first.json["output"][0]);
  EXPECT_EQ(data[2]["content"][0]["text"], "def$");
  EXPECT_EQ(all.json["has_more"], false);

  const Answer page = get(path + "?limit=2");
  EXPECT_EQ(page.json["data"], Json::array({data[2], data[1]}));
  EXPECT_EQ(page.json["has_more"], true);
  EXPECT_EQ(page.json["last_id"], data[1]["id"]);
  const Answer rest = get(path + "?after=" + data[1]["id"].get<std::string>());
  EXPECT_EQ(rest.json["data"], Json::array({data[0]}));
  EXPECT_EQ(get(path + "?after=x").status, 400);
  EXPECT_EQ(get(path + "?limit=0").status, 400);
  EXPECT_EQ(get("/v1/responses/resp_0/input_items").status, 404);
}

TEST_F(ResponsesTest, RefusesWithTheFieldAtFault) {
  start();
  const std::pair<std::string, std::string> all[] = {
      {"{}", "input"},
      {R"({"input":7})", "input"},
      {R"({"input":[]})", "input"},
      {R"({"input":[7]})", "input[0]"},
      {R"({"input":[{"role":"king","content":"a"}]})", "input[0].role"},
      {R"({"input":[{"role":"user"}]})", "input[0].content"},
      {R"({"input":[{"role":"user","content":[{"type":"input_image"}]}]})", "input[0].content[0]"},
      {R"({"input":[{"type":"item_reference","id":"x"}]})", "input[0].type"},
      {R"({"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"["}]})",
       "input[0].arguments"},
      {R"({"input":[{"type":"function_call_output","call_id":"c","output":"x"}]})",
       "input[0].call_id"},
      {R"({"input":"a","n":2})", "n"},
      {R"({"input":"a","max_output_tokens":0})", "max_output_tokens"},
      {R"({"input":"a","previous_response_id":"resp_1"})", "previous_response_id"},
      {R"({"input":"a","text":{"format":{"type":"xml"}}})", "text.format.type"},
      {R"({"input":"a","text":{"format":{"type":"json_schema","name":"x"}}})",
       "text.format.schema"},
      {R"({"input":"a","tools":[{"type":"web_search"}]})", "tools[0].type"},
      {R"({"input":"a","tools":[{"type":"function","name":"a b"}]})", "tools[0].name"},
      {R"({"input":"a","tool_choice":"required"})", "tool_choice"},
      {R"({"input":"a","include":["file_search_call.results"]})", "include"},
      {R"({"input":"a","truncation":"auto"})", "truncation"},
      {R"({"input":"a","background":true})", "background"},
      {R"({"input":"a","messages":[]})", "messages"},
  };
  for (const auto& [body, param] : all) {
    const Answer answer = post("/v1/responses", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(answer.json["error"]["param"], param) << answer.raw.body;
  }
  EXPECT_EQ(engine_->submitted(), 0);
}

TEST_F(ResponsesTest, AFailureEndsTheStreamWithAnEvent) {
  start({.fail_after = 3});
  test::RawClient raw = client();
  raw.post("/v1/responses", R"({"input":"abcdef","stream":true})");
  const std::string body = raw.read_response().body;
  EXPECT_THAT(body, HasSubstr("event: response.failed"));
  EXPECT_THAT(body, testing::Not(HasSubstr("response.completed")));
  EXPECT_EQ(post("/v1/responses", R"({"input":"abcdef"})").status, 500);
}

StoredResponse stored(const std::string& id, int key = -1) {
  return {.id = id, .key = key, .body = {{"id", id}}, .items = OrderedJson::array()};
}

TEST(ResponseStore, TheOldestGoFirst) {
  ResponseStore store({.count_max = 2});
  for (const char* id : {"a", "b", "c"}) store.add(stored(id));
  EXPECT_FALSE(store.find("a", -1).ok());
  EXPECT_TRUE(store.find("b", -1).ok());
  EXPECT_TRUE(store.find("c", -1).ok());
}

TEST(ResponseStore, HoldsOnlySoManyBytes) {
  ResponseStore store({.bytes_max = 40});
  store.add(stored("a"));  // {"id":"a"} and []: 12 bytes
  store.add(stored("b"));
  store.add(stored("c"));
  store.add(stored("d"));
  EXPECT_FALSE(store.find("a", -1).ok());
  EXPECT_TRUE(store.find("d", -1).ok());
  store.add(stored(std::string(100, 'x')));
  EXPECT_TRUE(store.find("d", -1).ok()) << "what is too large is not kept";
}

TEST(ResponseStore, TheyExpireAndBelongToTheirKey) {
  ResponseStore forgetful({.seconds_max = 0});
  forgetful.add(stored("a"));
  EXPECT_FALSE(forgetful.find("a", -1).ok());
  ResponseStore store;
  store.add(stored("a", 1));
  EXPECT_FALSE(store.find("a", 2).ok());
  EXPECT_FALSE(store.remove("a", 2).ok());
  EXPECT_TRUE(store.remove("a", 1).ok());
  EXPECT_FALSE(store.find("a", 1).ok());
}

}  // namespace
}  // namespace brisk
