// response_format, structured_outputs and guided_*: what they accept, what they refuse, and that
// what is asked for reaches the engine and comes back.
#include <filesystem>

#include "engine/grammar/compiled_grammar.h"
#include "serve/api/chat_renderer.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;
using testing::HasSubstr;

class StructuredOutputApiTest : public test::ApiTest {
 protected:
  void serve_stories() {
    const std::string path =
        std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260Ktok512.gguf";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
    EngineOptions options;
    options.threads = 2;
    options.kv_tokens = 4096;
    real_ = Engine::create(load_model(path).value(), options).value();
    api::ServedModel served;
    served.engine = real_;
    served.tokenizer = real_->model().tokenizer.get();
    served.names = {"stories"};
    served.renderer = *api::make_chat_renderer(
        real_->model(), "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}");
    serve(std::move(served), {}, false);
  }

  void TearDown() override {
    test::ApiTest::TearDown();
    real_.reset();
  }

  std::shared_ptr<Engine> real_;
};

TEST_F(StructuredOutputApiTest, RefusesWithTheFieldAtFault) {
  start();
  const std::vector<std::pair<std::string, std::string>> all = {
      {R"("response_format":"json")", "response_format"},
      {R"("response_format":{"type":"xml"})", "response_format.type"},
      {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a"}})",
       "response_format.json_schema.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"not":{}}}})",
       "response_format"},
      {R"("response_format":{"type":"json_object","what":1})", "response_format.what"},
      {R"("structured_outputs":[])", "structured_outputs"},
      {R"("structured_outputs":{"regex":"(a"})", "structured_outputs"},
      {R"("structured_outputs":{"regex":"a","choice":["b"]})", "structured_outputs"},
      {R"("structured_outputs":{"choice":[]})", "structured_outputs"},
      {R"("structured_outputs":{"choice":"a"})", "structured_outputs.choice"},
      {R"("structured_outputs":{"structural_tag":"a"})", "structured_outputs.structural_tag"},
      {R"("structured_outputs":{"grammar":"root = 1"})", "structured_outputs"},
      {R"("guided_json":{"type":"nothing"})", "guided_json"},
      {R"("guided_json":"{")", "guided_json"},
      {R"("guided_regex":"a**")", "guided_regex"},
      {R"("guided_grammar":7)", "guided_grammar"},
      {R"("guided_regex":"a","response_format":{"type":"json_object"})", "guided_regex"},
  };
  for (const auto& [fields, param] : all) {
    const Answer answer = post("/v1/completions", R"({"prompt":"a",)" + fields + "}");
    EXPECT_EQ(answer.status, 400) << fields;
    EXPECT_EQ(answer.json["error"]["param"], param) << answer.raw.body;
  }
  EXPECT_EQ(engine_->submitted(), 0);
  const Answer chat = post("/v1/chat/completions",
                           R"({"messages":[{"role":"user","content":"a"}],"response_format":
      {"type":"json_schema","json_schema":{"name":"x","schema":{"properties":{"a":{"multipleOf":2}}}}}})");
  EXPECT_EQ(chat.status, 400);
  EXPECT_THAT(chat.json["error"]["message"].get<std::string>(),
              HasSubstr("the schema at #/properties/a: 'multipleOf' is not supported"));
}

TEST_F(StructuredOutputApiTest, AnswersAreWhatWasAskedFor) {
  serve_stories();
  if (real_ == nullptr) return;
  const auto text_of = [&](const std::string& fields) {
    const Answer answer =
        post("/v1/completions",
             R"({"prompt":"Once upon a time","max_tokens":110,"seed":3,)" + fields + "}");
    EXPECT_EQ(answer.status, 200) << answer.raw.body;
    EXPECT_EQ(answer.json["choices"][0]["finish_reason"], "stop") << answer.raw.body;
    return answer.json["choices"][0]["text"].get<std::string>();
  };
  EXPECT_THAT(text_of(R"("structured_outputs":{"choice":["red","green"]})"),
              testing::AnyOf("red", "green"));
  EXPECT_THAT(text_of(R"("guided_choice":["red"])"), "red");
  EXPECT_THAT(text_of(R"("guided_regex":"[0-9]{3}-[a-f]{2}")"),
              testing::MatchesRegex("[0-9][0-9][0-9]-[a-f][a-f]"));
  EXPECT_THAT(text_of(R"("guided_grammar":"root ::= \"<\" [ab]{1,3} \">\"")"),
              testing::MatchesRegex("<[ab]+>"));
  const Json json = Json::parse(text_of(R"("guided_json":{"type":"object","properties":{"b":
      {"type":"integer","maximum":9,"minimum":0},"a":{"type":"boolean"}},"required":["b","a"]})"));
  EXPECT_TRUE(json["a"].is_boolean());
  EXPECT_TRUE(json["b"].is_number_integer());
}

TEST_F(StructuredOutputApiTest, PropertiesComeInTheOrderOfTheSchemaInChatsAndStreams) {
  serve_stories();
  if (real_ == nullptr) return;
  const std::string body = R"({"messages":[{"role":"user","content":"Once upon a time"}],"n":3,
      "seed":5,"max_tokens":110,"stream":STREAM,"response_format":{"type":"json_schema",
      "json_schema":{"name":"x","strict":true,"schema":{"type":"object","properties":{
      "zebra":{"type":"boolean"},"apple":{"enum":["x","y"]}},"required":["zebra","apple"],
      "additionalProperties":false}}}})";
  const auto with_stream = [&](const std::string& value) {
    std::string copy = body;
    return copy.replace(copy.find("STREAM"), 6, value);
  };
  const Answer whole = post("/v1/chat/completions", with_stream("false"));
  ASSERT_EQ(whole.status, 200) << whole.raw.body;
  const Events events = stream("/v1/chat/completions", with_stream("true"));
  for (int choice = 0; choice < 3; ++choice) {
    const std::string text =
        whole.json["choices"][static_cast<size_t>(choice)]["message"]["content"];
    EXPECT_THAT(text, testing::StartsWith("{\"zebra\":"));
    EXPECT_TRUE(Json::accept(text)) << text;
    EXPECT_EQ(events.text(choice), text);
    EXPECT_EQ(events.finish(choice), "stop");
  }
}

TEST_F(StructuredOutputApiTest, AGrammarThatIsTooAmbiguousIsTheRequestsFaultAndNotTriedAgain) {
  serve_stories();
  if (real_ == nullptr) return;
  const Answer answer = post("/v1/completions", R"({"prompt":"a","max_tokens":120,"temperature":0,
      "guided_grammar":"root ::= s\ns ::= \"a\" s s | \"a\" s | \"a\""})");
  EXPECT_EQ(answer.status, 400) << answer.raw.body;
  EXPECT_THAT(answer.raw.body, HasSubstr("ambiguous"));
}

TEST_F(StructuredOutputApiTest, WhatCannotGoTogetherIsRefused) {
  serve_stories();
  if (real_ == nullptr) return;
  for (const char* fields : {R"("ignore_eos":true)", R"("use_beam_search":true,"n":2)"}) {
    const Answer answer =
        post("/v1/completions", std::string(R"({"prompt":"a","guided_regex":"a",)") + fields + "}");
    EXPECT_EQ(answer.status, 400) << answer.raw.body;
    EXPECT_THAT(answer.raw.body, HasSubstr("structured output"));
  }
}

}  // namespace
}  // namespace brisk
