// What OpenAI's endpoints refuse, and how they say so.
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;

class OpenAiErrorsTest : public test::ApiTest {};

struct Refused {
  const char* body;
  const char* param;
};

void expect_refused(const test::Answer& answer, const Refused& refused) {
  EXPECT_EQ(answer.status, 400) << refused.body << answer.raw.body;
  ASSERT_TRUE(answer.json.contains("error")) << refused.body;
  const Json& error = answer.json["error"];
  EXPECT_EQ(error["type"], "invalid_request_error") << refused.body;
  EXPECT_TRUE(error["message"].is_string() && !error["message"].empty());
  EXPECT_EQ(error["param"], refused.param == nullptr ? Json() : Json(refused.param)) << error;
  EXPECT_TRUE(error.contains("code"));
}

TEST_F(OpenAiErrorsTest, RefusesWrongCompletions) {
  start();
  const Refused all[] = {
      {"", nullptr},
      {"[]", nullptr},
      {R"({"prompt":"a","prompt":"b"})", nullptr},
      {R"({"prompt":"a"} x)", nullptr},
      {"{}", "prompt"},
      {R"({"prompt":null})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":[[]]})", "prompt"},
      {R"({"prompt":["a",1]})", "prompt"},
      {R"({"prompt":[1,"a"]})", "prompt"},
      {R"({"prompt":[1.5]})", "prompt"},
      {R"({"prompt":[-1]})", "prompt"},
      {R"({"prompt":[258]})", "prompt"},
      {R"({"prompt":{"a":1}})", "prompt"},
      {R"({"prompt":"","add_special_tokens":false})", "prompt"},
      {R"({"prompt":"a","temperature":"hot"})", "temperature"},
      {R"({"prompt":"a","temperature":2.1})", "temperature"},
      {R"({"prompt":"a","temperature":-0.1})", "temperature"},
      {R"({"prompt":"a","top_p":0})", "top_p"},
      {R"({"prompt":"a","top_p":1.01})", "top_p"},
      {R"({"prompt":"a","top_k":-2})", "top_k"},
      {R"({"prompt":"a","top_k":1.5})", "top_k"},
      {R"({"prompt":"a","min_p":2})", "min_p"},
      {R"({"prompt":"a","n":0})", "n"},
      {R"({"prompt":"a","n":129})", "n"},
      {R"({"prompt":["a","b","c"],"n":100})", "n"},
      {R"({"prompt":"a","n":"2"})", "n"},
      {R"({"prompt":"a","max_tokens":0})", "max_tokens"},
      {R"({"prompt":"a","max_tokens":99999999999})", "max_tokens"},
      {R"({"prompt":"a","min_tokens":17})", "min_tokens"},
      {R"({"prompt":"a","seed":"x"})", "seed"},
      {R"({"prompt":"a","seed":1.5})", "seed"},
      {R"({"prompt":"a","stop":[""]})", "stop"},
      {R"({"prompt":"a","stop":[1]})", "stop"},
      {R"({"prompt":"a","stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15",
          "16","17"]})",
       "stop"},
      {R"({"prompt":"a","stop_token_ids":[-1]})", "stop_token_ids"},
      {R"({"prompt":"a","stop_token_ids":7})", "stop_token_ids"},
      {R"({"prompt":"a","logit_bias":{"x":1}})", "logit_bias"},
      {R"({"prompt":"a","logit_bias":{"1":101}})", "logit_bias"},
      {R"({"prompt":"a","logit_bias":[1]})", "logit_bias"},
      {R"({"prompt":"a","logprobs":21})", "logprobs"},
      {R"({"prompt":"a","logprobs":true})", "logprobs"},
      {R"({"prompt":"a","stream":"yes"})", "stream"},
      {R"({"prompt":"a","stream_options":{"include_usage":true}})", "stream_options"},
      {R"({"prompt":"a","stream":true,"stream_options":{"include_usage":1}})",
       "stream_options.include_usage"},
      {R"({"prompt":"a","stream":true,"stream_options":{"x":1}})", "stream_options.x"},
      {R"({"prompt":"a","suffix":"b"})", "suffix"},
      {R"({"prompt":"a","n":2,"best_of":1})", "best_of"},
      {R"({"prompt":"a","best_of":2,"stream":true})", "best_of"},
      {R"({"prompt":"a","best_of":129})", "best_of"},
      {R"({"prompt":["a","b","c"],"best_of":100})", "n"},
      {R"({"prompt":"a","cache_salt":""})", "cache_salt"},
      {R"({"prompt":"a","prompt_logprobs":-1})", "prompt_logprobs"},
      {R"({"prompt":"a","prompt_logprobs":21})", "prompt_logprobs"},
      {R"({"prompt":"a","prompt_logprobs":0,"stream":true})", "prompt_logprobs"},
      {R"({"prompt":"a","typical_p":0})", "typical_p"},
      {R"({"prompt":"a","typical_p":1.5})", "typical_p"},
      {R"({"prompt":"a","allowed_token_ids":[]})", "allowed_token_ids"},
      {R"({"prompt":"a","allowed_token_ids":[-1]})", "allowed_token_ids"},
      {R"({"prompt":"a","allowed_token_ids":"a"})", "allowed_token_ids"},
      {R"({"prompt":"a","bad_words":["a",""]})", "bad_words"},
      {R"({"prompt":"a","bad_words":["  "]})", "bad_words"},
      {R"({"prompt":"a","bad_words":[7]})", "bad_words"},
      {R"({"prompt":"a","bad_words":["one of more tokens than are allowed"]})", "bad_words"},
      {R"({"prompt":"a","max_tokens":0,"stream":true})", "max_tokens"},
      {R"({"prompt":"a","truncate_prompt_tokens":0})", "truncate_prompt_tokens"},
      {R"({"prompt":"a","no_such_thing":null})", "no_such_thing"},
      {R"({"prompt":"a","model":7})", "model"},
  };
  for (const Refused& refused : all) {
    expect_refused(post("/v1/completions", refused.body), refused);
  }
  EXPECT_EQ(engine_->submitted(), 0) << "nothing of this reached the engine";
}

TEST_F(OpenAiErrorsTest, RefusesWrongChats) {
  start();
  const Refused all[] = {
      {"{}", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":"hi"})", "messages"},
      {R"({"messages":["hi"]})", "messages[0]"},
      {R"({"messages":[{"role":"user","content":"a"},{"content":"b"}]})", "messages[1].role"},
      {R"({"messages":[{"role":"king","content":"a"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":7}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})",
       "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":[{"text":"x"}]}]})", "messages[0].content[0].type"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":"refuse me"}]})", "messages"},
      {R"({"messages":[{"role":"user","content":"a"}],"functions":[{"name":"f"}]})", "functions"},
      {R"({"messages":[{"role":"user","content":"a"}],"tool_choice":"required"})", "tool_choice"},
      {R"({"messages":[{"role":"user","content":"a"}],"logprobs":2})", "logprobs"},
      {R"({"messages":[{"role":"user","content":"a"}],"top_logprobs":2})", "top_logprobs"},
      {R"({"messages":[{"role":"user","content":"a"}],"logprobs":true,"top_logprobs":21})",
       "top_logprobs"},
      {R"({"messages":[{"role":"user","content":"a"}],"max_completion_tokens":0})",
       "max_completion_tokens"},
      {R"({"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":[]})",
       "chat_template_kwargs"},
      {R"({"messages":[{"role":"user","content":"a"}],"modalities":["audio"]})", "modalities"},
      {R"({"messages":[{"role":"user","content":"a"}],"prompt":"b"})", "prompt"},
  };
  for (const Refused& refused : all) {
    expect_refused(post("/v1/chat/completions", refused.body), refused);
  }
  EXPECT_EQ(engine_->submitted(), 0);
}

TEST_F(OpenAiErrorsTest, AnUnknownModelIsA404) {
  start();
  for (const char* path : {"/v1/completions", "/tokenize"}) {
    const Answer answer = post(path, R"({"model":"gpt-4","prompt":"a"})");
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.json["error"]["code"], "model_not_found");
  }
}

TEST_F(OpenAiErrorsTest, ProtocolErrorsHaveOpenAisShape) {
  start();
  EXPECT_EQ(get("/v1/nothing").json["error"]["type"], "not_found_error");
  EXPECT_EQ(get("/v1/completions").status, 405);
  EXPECT_TRUE(get("/v1/completions").json["error"]["message"].is_string());
}

TEST_F(OpenAiErrorsTest, AFailingEngineIsA500OrAnErrorEvent) {
  start({.fail_after = 3});
  const Answer whole = post("/v1/completions", R"({"prompt":"abcdef"})");
  EXPECT_EQ(whole.status, 500);
  EXPECT_EQ(whole.json["error"]["type"], "server_error");
  const Events events = stream("/v1/completions", R"({"prompt":"abcdef","stream":true})");
  EXPECT_EQ(events.status, 200);
  EXPECT_FALSE(events.done) << "no [DONE] after an error";
  EXPECT_TRUE(events.whole);
  EXPECT_EQ(events.chunks.back()["error"]["type"], "server_error");
}

}  // namespace
}  // namespace brisk
