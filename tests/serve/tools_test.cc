// Tools in OpenAI's chat completions: what is accepted, what is refused, and what comes back, from
// an engine that can be foretold and from the model that ships.
#include "engine/grammar/compiled_grammar.h"
#include "tests/serve/shipped_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;
using testing::HasSubstr;

constexpr const char* kWeather = R"({"type":"function","function":{"name":"get_weather",
    "description":"Tells the weather.","parameters":{"type":"object","properties":{
    "city":{"type":"string"}},"required":["city"],"additionalProperties":false}}})";
constexpr const char* kTimer = R"({"type":"function","function":{"name":"set_timer","parameters":
    {"type":"object","properties":{"minutes":{"type":"integer","minimum":1,"maximum":999}},
    "required":["minutes"]}}})";

std::string chat(const std::string& question, const std::string& more) {
  return fmt::format(R"({{"messages":[{{"role":"user","content":{}}}],"tools":[{},{}],
      "temperature":0{}}})",
                     Json(question).dump(), kWeather, kTimer, more);
}

// The calls of a stream as OpenAI's clients put them together.
Json streamed_calls(const Events& events, int choice = 0) {
  Json calls = Json::array();
  for (const Json& chunk : events.chunks) {
    for (const Json& each : chunk.value("choices", Json::array())) {
      if (each["index"] != choice) continue;
      for (const Json& call : each["delta"].value("tool_calls", Json::array())) {
        const auto index = call["index"].get<size_t>();
        EXPECT_LE(index, calls.size());
        if (index == calls.size()) {
          EXPECT_FALSE(call["id"].get<std::string>().empty());
          EXPECT_EQ(call["type"], "function");
          calls.push_back({{"name", call["function"]["name"]}, {"arguments", ""}});
        } else {
          EXPECT_EQ(index, calls.size() - 1) << "one after the other";
          EXPECT_FALSE(call.contains("id") || call["function"].contains("name")) << "once only";
        }
        calls[index]["arguments"].get_ref<std::string&>() +=
            call["function"]["arguments"].get<std::string>();
      }
    }
  }
  return calls;
}

Json whole_calls(const Answer& answer, size_t choice = 0) {
  Json calls = Json::array();
  const Json& message = answer.json["choices"][choice]["message"];
  for (const Json& call : message.value("tool_calls", Json::array())) {
    EXPECT_EQ(call["type"], "function");
    calls.push_back(call["function"]);
  }
  return calls;
}

class ToolsTest : public test::ApiTest {};

TEST_F(ToolsTest, CallsComeWithTheTextAroundThem) {
  start();
  const std::string said =
      R"(So <tool_call>{"name":"set_timer","arguments":{"minutes": 5}}</tool_call>)"
      R"(<tool_call>{"name":"get_weather","arguments":{"city":"Köln"}}</tool_call>$)";
  const Answer answer = post("/v1/chat/completions", chat(said, R"(,"n":2,"logprobs":true)"));
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  const Json& choice = answer.json["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "user:So");
  EXPECT_EQ(whole_calls(answer),
            Json::parse(R"([{"name":"set_timer","arguments":"{\"minutes\": 5}"},
      {"name":"get_weather","arguments":"{\"city\":\"Köln\"}"}])"));
  EXPECT_EQ(answer.json["choices"][1]["message"]["content"], "ser:So");
  EXPECT_NE(choice["message"]["tool_calls"][0]["id"], choice["message"]["tool_calls"][1]["id"]);
  const Events events =
      stream("/v1/chat/completions", chat(said, R"(,"stream":true,"logprobs":true)"));
  EXPECT_EQ(streamed_calls(events), whole_calls(answer));
  EXPECT_EQ(events.text(), "user:So");
  EXPECT_EQ(events.finish(), "tool_calls");
  EXPECT_TRUE(events.done);
  size_t tokens = 0;
  for (const Json& chunk : events.chunks) {
    for (const Json& each : chunk["choices"]) {
      if (!each["logprobs"].is_null()) tokens += each["logprobs"]["content"].size();
    }
  }
  EXPECT_EQ(tokens, choice["logprobs"]["content"].size()) << "every token is told";
}

TEST_F(ToolsTest, OneCallWhereSeveralAreNotWanted) {
  start();
  const Answer answer =
      post("/v1/chat/completions",
           chat(R"(<tool_call>{"name":"f"}</tool_call><tool_call>{"name":"g"}</tool_call> ok$)",
                R"(,"parallel_tool_calls":false)"));
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(whole_calls(answer).size(), 1u);
  EXPECT_EQ(answer.json["choices"][0]["message"]["content"], "user:ok");
}

TEST_F(ToolsTest, WithoutToolsCallsAreText) {
  start();
  const std::string said = R"(<tool_call>{"name":"f"}</tool_call>$)";
  for (const char* more : {R"(,"tool_choice":"none")", R"(,"tools":[])", R"(,"tools":null)"}) {
    std::string body = chat(said, more);
    if (std::string(more).find("tools") != std::string::npos) {  // a key may come only once
      body = fmt::format(R"({{"messages":[{{"role":"user","content":{}}}]{}}})", Json(said).dump(),
                         more);
    }
    const Answer answer = post("/v1/chat/completions", body);
    ASSERT_EQ(answer.status, 200) << answer.raw.body;
    EXPECT_EQ(answer.json["choices"][0]["finish_reason"], "stop");
    EXPECT_THAT(answer.json["choices"][0]["message"]["content"].get<std::string>(),
                HasSubstr("<tool_call>"));
  }
}

TEST_F(ToolsTest, RefusesWithTheFieldAtFault) {
  start();
  const std::pair<std::string, std::string> all[] = {
      {R"("tools":{})", "tools"},
      {R"("tools":[7])", "tools[0]"},
      {R"("tools":[{"type":"web_search"}])", "tools[0].type"},
      {R"("tools":[{"type":"function"}])", "tools[0].function"},
      {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"a b"}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":7}}])",
       "tools[0].function.parameters"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"array"}}}])",
       "tools[0].function.parameters"},
      {R"("tools":[{"type":"function","function":{"name":"f","description":7}}])",
       "tools[0].function"},
      {R"("tools":[{"type":"function","function":{"name":"f","strict":"yes"}}])",
       "tools[0].function.strict"},
      {R"("tools":[{"type":"function","function":{"name":"f","what":1}}])",
       "tools[0].function.what"},
      {R"("tools":[{"type":"function","function":{"name":"f"}},
                   {"type":"function","function":{"name":"f"}}])",
       "tools[1].function.name"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"any")",
       "tool_choice"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"f"})",
       "tool_choice.type"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],
          "tool_choice":{"type":"function","function":{"name":"g"}})",
       "tool_choice.function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],
          "tool_choice":{"type":"allowed_tools"})",
       "tool_choice.allowed_tools"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":
          "allowed_tools","allowed_tools":{"mode":"none","tools":[]}})",
       "tool_choice.allowed_tools.mode"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":
          "allowed_tools","allowed_tools":{"mode":"auto","tools":[]}})",
       "tool_choice.allowed_tools.tools"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":
          "allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function",
          "function":{"name":"g"}}]}})",
       "tool_choice.allowed_tools.tools[0]"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":1)",
       "parallel_tool_calls"},
      {R"("tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":
          {"properties":{"a":{"not":{}}}}}}])",
       "tools"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required",
          "response_format":{"type":"json_object"})",
       "response_format"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"guided_regex":"a")",
       "guided_regex"},
  };
  for (const auto& [fields, param] : all) {
    const Answer answer = post("/v1/chat/completions",
                               R"({"messages":[{"role":"user","content":"a"}],)" + fields + "}");
    EXPECT_EQ(answer.status, 400) << fields;
    EXPECT_EQ(answer.json["error"]["param"], param) << answer.raw.body;
    EXPECT_EQ(answer.json["error"]["type"], "invalid_request_error");
  }
  EXPECT_EQ(engine_->submitted(), 0);
}

TEST_F(ToolsTest, RefusesMessagesWhoseCallsAndResultsDoNotFit) {
  start();
  const auto call = [](const std::string& inner) {
    return R"({"role":"assistant","tool_calls":[)" + inner + "]}";
  };
  const std::string good =
      call(R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}})");
  const std::pair<std::string, std::string> all[] = {
      {R"({"role":"assistant","tool_calls":7})", "messages[0].tool_calls"},
      {call("7"), "messages[0].tool_calls[0]"},
      {call(R"({"function":{"name":"f"}})"), "messages[0].tool_calls[0].id"},
      {call(R"({"id":"c","type":"x","function":{"name":"f"}})"), "messages[0].tool_calls[0].type"},
      {call(R"({"id":"c","function":{}})"), "messages[0].tool_calls[0].function.name"},
      {call(R"({"id":"c","function":{"name":"f","arguments":"{"}})"),
       "messages[0].tool_calls[0].function.arguments"},
      {call(R"({"id":"c","function":{"name":"f","arguments":"[1]"}})"),
       "messages[0].tool_calls[0].function.arguments"},
      {R"({"role":"tool","content":"a","tool_call_id":"c1"})", "messages[0].tool_call_id"},
      {good + R"(,{"role":"tool","content":"a"})", "messages[1].tool_call_id"},
      {good + R"(,{"role":"tool","content":"a","tool_call_id":"c2"})", "messages[1].tool_call_id"},
      {good + R"(,{"role":"user","content":"x"},{"role":"tool","content":"a","tool_call_id":"c1"})",
       "messages[2].tool_call_id"},
      {good + R"(,{"role":"tool","tool_call_id":"c1"})", "messages[1].content"},
  };
  for (const auto& [messages, param] : all) {
    const Answer answer = post("/v1/chat/completions", R"({"messages":[)" + messages + "]}");
    EXPECT_EQ(answer.status, 400) << messages;
    EXPECT_EQ(answer.json["error"]["param"], param) << answer.raw.body;
  }
  const Answer answer =
      post("/v1/chat/completions", R"({"messages":[)" + good +
                                       R"(,{"role":"tool","content":"a$","tool_call_id":"c1"},
                                    {"role":"assistant","content":"b","tool_calls":[]}]})");
  EXPECT_EQ(answer.status, 200) << answer.raw.body;
}

// Adding the member that was missing moved the name that was read after it.
TEST_F(ToolsTest, ACallWithoutArgumentsHasNone) {
  start();
  for (const char* function :
       {R"({"name":"f"})", R"({"name":"f","arguments":""})", R"({"name":"f","arguments":null})"}) {
    const Answer answer =
        post("/v1/chat/completions",
             fmt::format(
                 R"({{"messages":[{{"role":"assistant","tool_calls":[{{"id":"c","function":{}}}]}},
                       {{"role":"tool","content":"a$","tool_call_id":"c"}}]}})",
                 function));
    EXPECT_EQ(answer.status, 200) << answer.raw.body;
  }
}

class ShippedToolsTest : public test::ShippedModelTest {};

TEST_F(ShippedToolsTest, TheModelCallsWhatItNeeds) {
  const std::string question = "What is the weather in Rome?";
  const Answer whole = post("/v1/chat/completions", chat(question, ""));
  ASSERT_EQ(whole.status, 200) << whole.raw.body;
  EXPECT_EQ(whole_calls(whole),
            Json::parse(R"([{"name":"get_weather","arguments":"{\"city\": \"Rome\"}"}])"));
  EXPECT_EQ(whole.json["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_TRUE(whole.json["choices"][0]["message"]["content"].is_null());
  const Events events = stream("/v1/chat/completions", chat(question, R"(,"stream":true)"));
  EXPECT_EQ(streamed_calls(events), whole_calls(whole));
  EXPECT_EQ(events.finish(), "tool_calls");
  EXPECT_EQ(events.text(), "");
  int pieces = 0;
  for (const Json& chunk : events.chunks) {
    pieces += static_cast<int>(chunk["choices"][0]["delta"].contains("tool_calls"));
  }
  EXPECT_GT(pieces, 2) << "arguments come as they are generated";
}

TEST_F(ShippedToolsTest, AConversationGoesOnWithTheResult) {
  const Answer prompt = post("/apply-template", fmt::format(R"({{"tools":[{}],"messages":[
      {{"role":"user","content":"What is the weather in Rome?"}},
      {{"role":"assistant","content":null,"tool_calls":[{{"id":"call_1","type":"function",
        "function":{{"name":"get_weather","arguments":"{{\"city\":\"Rome\"}}"}}}}]}},
      {{"role":"tool","tool_call_id":"call_1","content":"sunny"}}]}})",
                                                            kWeather));
  ASSERT_EQ(prompt.status, 200) << prompt.raw.body;
  EXPECT_EQ(prompt.json["prompt"],
            "<|im_start|>system\nTools:\nget_weather(city)<|im_end|>\n"
            "<|im_start|>user\nWhat is the weather in Rome?<|im_end|>\n"
            "<|im_start|>assistant\n<tool_call>{\"name\": \"get_weather\", \"arguments\": "
            "{\"city\": \"Rome\"}}</tool_call><|im_end|>\n"
            "<|im_start|>tool\nsunny<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(ShippedToolsTest, RequiredAndNamedCallsAreValidInEverySyntax) {
  for (const char* syntax : {"auto", "json", "mistral", "pythonic", "deepseek", "deepseek-v3.1"}) {
    use_syntax(syntax);
    for (const char* temperature : {"0", "1"}) {
      const std::string more = fmt::format(
          R"(,"seed":3,"tool_choice":{{"type":"function","function":{{"name":"set_timer"}}}})");
      std::string body = chat("Who are you?", more);
      body.replace(body.find("\"temperature\":0"), 15,
                   fmt::format("\"temperature\":{}", temperature));
      const Answer named = post("/v1/chat/completions", body);
      ASSERT_EQ(named.status, 200) << named.raw.body;
      ASSERT_EQ(named.json["choices"][0]["finish_reason"], "tool_calls") << named.raw.body;
      const Json calls = whole_calls(named);
      ASSERT_EQ(calls.size(), 1u) << syntax;
      EXPECT_EQ(calls[0]["name"], "set_timer");
      const Json arguments = Json::parse(calls[0]["arguments"].get<std::string>());
      EXPECT_EQ(arguments.size(), 1u);
      EXPECT_GE(arguments["minutes"], 1);
      EXPECT_LE(arguments["minutes"], 999);
    }
    const Answer required = post("/v1/chat/completions",
                                 chat("Tell me a story about a fox named Tom.",
                                      R"(,"tool_choice":"required","parallel_tool_calls":false)"));
    ASSERT_EQ(required.status, 200) << required.raw.body;
    EXPECT_EQ(whole_calls(required).size(), 1u) << syntax << required.raw.body;
  }
}

// The model would ask for the weather; only the timer is allowed.
TEST_F(ShippedToolsTest, OnlyAllowedToolsAreCalled) {
  const auto ask = [&](const std::string& mode) {
    return post("/v1/chat/completions",
                chat("What is the weather in Rome?",
                     fmt::format(R"(,"tool_choice":{{"type":"allowed_tools","allowed_tools":{{
                         "mode":"{}","tools":[{{"type":"function","function":{{
                         "name":"set_timer"}}}}]}}}})",
                                 mode)));
  };
  const Answer required = ask("required");
  ASSERT_EQ(required.status, 200) << required.raw.body;
  ASSERT_FALSE(whole_calls(required).empty());
  for (const Json& call : whole_calls(required)) EXPECT_EQ(call["name"], "set_timer");
  const Answer automatic = ask("auto");
  ASSERT_EQ(automatic.status, 200) << automatic.raw.body;
  for (const Json& call : whole_calls(automatic)) EXPECT_EQ(call["name"], "set_timer");
  const Answer responses = post("/v1/responses", R"({"input":"What is the weather in Rome?",
      "temperature":0,"tools":[{"type":"function","name":"a"},{"type":"function","name":"b"}],
      "tool_choice":{"type":"allowed_tools","mode":"required",
      "tools":[{"type":"function","name":"b"}]}})");
  ASSERT_EQ(responses.status, 200) << responses.raw.body;
  EXPECT_EQ(responses.json["output"][0]["name"], "b");
  EXPECT_EQ(responses.json["tools"].size(), 2u) << "as they were sent";
}

TEST_F(ShippedToolsTest, StrictToolsLeaveTheChoiceToTheModel) {
  std::string strict = chat("What is the weather in Rome?", "");
  const auto make_strict = [](std::string body) {
    const std::string from = R"("description":"Tells the weather.")";
    return body.replace(body.find(from), from.size(), R"("strict":true)");
  };
  const Answer called = post("/v1/chat/completions", make_strict(strict));
  ASSERT_EQ(called.status, 200) << called.raw.body;
  EXPECT_EQ(whole_calls(called),
            Json::parse(R"([{"name":"get_weather","arguments":"{\"city\": \"Rome\"}"}])"));
  // In this syntax no text may begin like a call, and the model's own calls do not.
  for (const char* syntax : {"json", "pythonic"}) {
    use_syntax(syntax);
    const Answer told = post("/v1/chat/completions", make_strict(strict));
    ASSERT_EQ(told.status, 200) << told.raw.body;
    EXPECT_EQ(told.json["choices"][0]["finish_reason"], "stop");
    EXPECT_THAT(told.json["choices"][0]["message"]["content"].get<std::string>(),
                HasSubstr("<tool_call>"));
  }
}

TEST_F(ShippedToolsTest, AnAnswerIsACallOrOfTheResponseFormat) {
  const std::string format = R"(,"response_format":{"type":"json_schema","json_schema":{"name":"x",
      "schema":{"properties":{"n":{"type":"integer"}},"required":["n"]}}})";
  const Answer called = post("/v1/chat/completions", chat("What is the weather in Rome?", format));
  ASSERT_EQ(called.status, 200) << called.raw.body;
  EXPECT_EQ(whole_calls(called)[0]["name"], "get_weather");
  const Answer said = post("/v1/chat/completions", chat("As JSON: Tom is 7 years old.", format));
  ASSERT_EQ(said.status, 200) << said.raw.body;
  const Json& message = said.json["choices"][0]["message"];
  const bool is_call = message.contains("tool_calls");
  EXPECT_TRUE(is_call ||
              Json::parse(message["content"].get<std::string>())["n"].is_number_integer())
      << said.raw.body;
}

TEST_F(ShippedToolsTest, ATemplateWithoutToolsIsToldSo) {
  const Answer answer = post("/v1/chat/completions",
                             chat("Hello", R"(,"chat_template":"{{ messages[0].content }}")"));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json["error"]["param"], "tools");
  EXPECT_THAT(answer.json["error"]["message"].get<std::string>(), HasSubstr("--tool-call-parser"));
}

}  // namespace
}  // namespace brisk
