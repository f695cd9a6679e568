// Anthropic's messages over an engine that can be foretold: shapes, events, errors.
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using testing::ElementsAre;
using testing::HasSubstr;

// The events of a stream: their types, and their data.
struct Streamed {
  std::vector<std::string> types;
  std::vector<Json> events;
};

Streamed parse_named_events(const std::string& body) {
  Streamed streamed;
  std::string_view rest = body;
  while (!rest.empty()) {
    const size_t end = rest.find("\n\n");
    const std::string_view event = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    const size_t line = event.find('\n');
    EXPECT_TRUE(event.starts_with("event: ")) << event;
    EXPECT_EQ(event.substr(line + 1, 6), "data: ") << event;
    streamed.events.push_back(Json::parse(event.substr(line + 7)));
    streamed.types.emplace_back(event.substr(7, line - 7));
    EXPECT_EQ(streamed.types.back(), streamed.events.back()["type"]);
  }
  return streamed;
}

class AnthropicTest : public test::ApiTest {
 protected:
  static std::string ask(const std::string& content, const std::string& more = "") {
    return fmt::format(R"({{"max_tokens":200,"messages":[{{"role":"user","content":{}}}]{}}})",
                       Json(content).dump(), more);
  }

  Answer prompt_of(const std::string& body) {
    Answer answer = post("/v1/messages", body);
    EXPECT_EQ(answer.status, 200) << answer.raw.body;
    return answer;
  }
};

constexpr const char* kTool =
    R"({"name":"f","input_schema":{"type":"object","properties":{"a":{"type":"integer"}}}})";

TEST_F(AnthropicTest, AnswersInBlocks) {
  start();
  const Answer answer = prompt_of(ask("hello$", R"(,"model":"alias","system":"be")"));
  EXPECT_EQ(answer.json["type"], "message");
  EXPECT_EQ(answer.json["role"], "assistant");
  EXPECT_EQ(answer.json["model"], "alias");
  EXPECT_THAT(answer.json["id"].get<std::string>(), testing::StartsWith("msg_"));
  EXPECT_EQ(answer.json["content"],
            Json::parse(R"([{"type":"text","text":"system:be|user:hello"}])"));
  EXPECT_EQ(answer.json["stop_reason"], "end_turn");
  EXPECT_TRUE(answer.json["stop_sequence"].is_null());
  EXPECT_EQ(answer.json["usage"]["input_tokens"], 22);
  EXPECT_EQ(answer.json["usage"]["output_tokens"], 21);
  EXPECT_EQ(prompt_of(ask("abc", R"(,"stop_sequences":["c","x"])")).json["stop_sequence"], "c");
  EXPECT_EQ(prompt_of(R"({"max_tokens":2,"messages":[{"role":"user","content":"a"}]})")
                .json["stop_reason"],
            "max_tokens");
}

TEST_F(AnthropicTest, ReadsConversations) {
  start();
  const Answer answer = prompt_of(fmt::format(R"({{"max_tokens":200,"tools":[{}],
      "system":[{{"type":"text","text":"s"}}],"messages":[
      {{"role":"user","content":[{{"type":"text","text":"a"}},{{"type":"text","text":"b"}}]}},
      {{"role":"user","content":"c"}},
      {{"role":"assistant","content":[{{"type":"thinking","thinking":"x","signature":"y"}},
        {{"type":"text","text":"d"}},{{"type":"tool_use","id":"t1","name":"f","input":{{"a":1}}}}]}},
      {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t1","content":"e"}},
        {{"type":"text","text":"f$"}}]}}]}})",
                                              kTool));
  EXPECT_EQ(answer.json["content"][0]["text"], "system:s|user:a\nb\nc|assistant:d|tool:e|user:f");
}

TEST_F(AnthropicTest, StreamsEveryEventOfTextAndCalls) {
  start();
  const std::string body = ask(R"(So <tool_call>{"name":"f","arguments":{"a": 5}}</tool_call>$)",
                               fmt::format(R"(,"stream":true,"tools":[{}])", kTool));
  test::RawClient raw = client();
  raw.post("/v1/messages", body);
  const test::RawResponse response = raw.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(std::string(response.header("content-type")), HasSubstr("text/event-stream"));
  const Streamed streamed = parse_named_events(response.body);
  EXPECT_EQ(streamed.types.front(), "message_start");
  EXPECT_EQ(streamed.types.back(), "message_stop");
  std::string text;
  std::string json;
  std::vector<std::string> blocks;
  for (const Json& event : streamed.events) {
    if (event["type"] == "content_block_start") {
      EXPECT_EQ(event["index"], blocks.size());
      blocks.push_back(event["content_block"]["type"]);
    }
    if (event["type"] != "content_block_delta") continue;
    text += event["delta"].value("text", "");
    json += event["delta"].value("partial_json", "");
  }
  EXPECT_THAT(blocks, ElementsAre("text", "tool_use"));
  EXPECT_EQ(text, "user:So");
  EXPECT_EQ(json, R"({"a": 5})");
  const Json& end = streamed.events[streamed.events.size() - 2];
  EXPECT_EQ(end["type"], "message_delta");
  EXPECT_EQ(end["delta"]["stop_reason"], "tool_use");
  EXPECT_GT(end["usage"]["output_tokens"], 10);
}

TEST_F(AnthropicTest, RefusesInAnthropicsForm) {
  start();
  const std::pair<std::string, std::string> all[] = {
      {R"({"messages":[{"role":"user","content":"a"}]})", "max_tokens is missing"},
      {R"({"max_tokens":0,"messages":[{"role":"user","content":"a"}]})", "max_tokens must be"},
      {R"({"max_tokens":9,"messages":[]})", "messages must be an array"},
      {R"({"max_tokens":9,"messages":[{"role":"system","content":"a"}]})", "messages.0.role"},
      {R"({"max_tokens":9,"messages":[{"role":"user"}]})", "messages.0.content"},
      {R"({"max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{}}]}]})",
       "messages.0.content.0"},
      {R"({"max_tokens":9,"messages":[{"role":"user","content":[
          {"type":"tool_result","tool_use_id":"x"}]}]})",
       "messages.0.content.0.tool_use_id"},
      {R"({"max_tokens":9,"messages":[{"role":"assistant","content":[
          {"type":"tool_use","id":"x","name":"f","input":"{}"}]}]})",
       "messages.0.content.0.input"},
      {ask("a", R"(,"temperature":1.5)"), "temperature must be between 0 and 1"},
      {ask("a", R"(,"stop_sequences":"x")"), "stop_sequences must be"},
      {ask("a", R"(,"system":7)"), "system must be"},
      {ask("a", R"(,"metadata":{"x":1})"), "metadata.x"},
      {ask("a", R"(,"thinking":{"type":"enabled","budget_tokens":1024})"), "thinking"},
      {ask("a", R"(,"tools":[{"name":"f"}])"), "tools.0.input_schema"},
      {ask("a", R"(,"tools":[{"name":"a b","input_schema":{}}])"), "tools.0.name"},
      {ask("a", R"(,"tools":[{"type":"bash_20250124","name":"bash"}])"), "tools.0.type"},
      {ask("a", R"(,"tool_choice":{"type":"any"})"), "tool_choice is only allowed with tools"},
      {ask("a", fmt::format(R"(,"tools":[{}],"tool_choice":{{"type":"tool","name":"g"}})", kTool)),
       "tool_choice.name"},
      {ask("a", R"(,"prompt":"b")"), "prompt is not a parameter"},
      {"[]", "the body must be"},
  };
  for (const auto& [body, message] : all) {
    const Answer answer = post("/v1/messages", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(answer.json["type"], "error") << answer.raw.body;
    EXPECT_EQ(answer.json["error"]["type"], "invalid_request_error");
    EXPECT_THAT(answer.json["error"]["message"].get<std::string>(), HasSubstr(message));
  }
  EXPECT_EQ(engine_->submitted(), 0);
  EXPECT_EQ(post("/v1/messages", ask("a", R"(,"model":"x")")).json["error"]["type"],
            "not_found_error");
  EXPECT_EQ(get("/v1/messages").json["type"], "error") << "405 in the same form";
}

TEST_F(AnthropicTest, FailuresOfTheEngineAreToldInTheSameForm) {
  start({.fail_after = 3});
  EXPECT_EQ(post("/v1/messages", ask("abcdef")).json["error"]["type"], "api_error");
  test::RawClient raw = client();
  raw.post("/v1/messages", ask("abcdef", R"(,"stream":true)"));
  const Streamed streamed = parse_named_events(raw.read_response().body);
  EXPECT_EQ(streamed.types.back(), "error");
  EXPECT_EQ(streamed.events.back()["error"]["type"], "api_error");
  start({.queue_max = 0});
  const Answer full = post("/v1/messages", ask("a"));
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.json["error"]["type"], "rate_limit_error");
  EXPECT_EQ(full.raw.header("retry-after"), "1");
}

TEST_F(AnthropicTest, NeedsTheKeyAsItsClientsSendIt) {
  keys_ = {{.key = "secret"}};
  start();
  const Answer refused = post("/v1/messages", ask("a$"));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.json["error"]["type"], "authentication_error");
}

TEST_F(AnthropicTest, CountsTokensWithoutMakingAny) {
  start();
  const Answer answer = post("/v1/messages/count_tokens",
                             R"({"messages":[{"role":"user","content":"abc"}],"system":"s"})");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json, Json::parse(R"({"input_tokens":18})"));
  EXPECT_EQ(engine_->submitted(), 0);
  EXPECT_EQ(post("/v1/messages/count_tokens", "{}").json["type"], "error");
}

TEST_F(AnthropicTest, ALastMessageOfTheAssistantIsContinued) {
  start();
  const Answer answer = prompt_of(
      R"({"max_tokens":3,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  EXPECT_EQ(answer.json["content"][0]["text"], "use");
}

}  // namespace
}  // namespace brisk
