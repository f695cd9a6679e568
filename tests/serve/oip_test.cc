// Open Inference Protocol v2, over the fake engine ("ab" is answered "abab...") and real models.
#include <filesystem>

#include "serve/api/oip_request.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::Events;
using testing::HasSubstr;

class OipTest : public test::ApiTest {
 protected:
  void SetUp() override { start(); }
  static std::string fault(const Answer& answer) {
    return answer.json.is_object() && answer.json["error"].is_string() ? answer.json["error"] : "";
  }
};

TEST_F(OipTest, TellsWhatTheServerIsAndHowItIs) {
  const Json server = get("/v2").json;
  EXPECT_EQ(server["name"], "brisk");
  EXPECT_TRUE(server["extensions"].is_array());
  EXPECT_EQ(get("/v2/health/live").json["live"], true);
  EXPECT_EQ(get("/v2/health/ready").status, 200);
  service_->begin_drain();
  EXPECT_EQ(get("/v2/health/live").status, 200);
  const Answer ready = get("/v2/health/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(fault(ready), HasSubstr("draining"));
}

TEST_F(OipTest, HealthNeedsNoKeyAndAllElseDoes) {
  keys_ = {{.key = "k"}};
  start();
  EXPECT_EQ(get("/v2/health/live").status, 200);
  EXPECT_EQ(get("/v2/health/ready").status, 200);
  for (const char* path : {"/v2", "/v2/models/alias", "/v2/models/stats"}) {
    const Answer answer = get(path);
    EXPECT_EQ(answer.status, 401) << path;
    EXPECT_NE(fault(answer), "") << path;
  }
  EXPECT_EQ(post("/v2/models/alias/generate", R"({"text_input":"a"})").status, 401);
  EXPECT_EQ(post("/v2/repository/index", "").status, 401);
}

TEST_F(OipTest, DescribesAModelWhoseNameHasASlash) {
  const Json model = get("/v2/models/org/fake").json;
  EXPECT_EQ(model["name"], "org/fake");
  EXPECT_EQ(model["versions"], Json::parse(R"(["1"])"));
  EXPECT_EQ(model["inputs"][0]["name"], "text_input");
  EXPECT_EQ(model["outputs"][0]["datatype"], "BYTES");
  EXPECT_EQ(get("/v2/models/org/fake/versions/1").json, model);
  EXPECT_EQ(get("/v2/models/alias/versions/1/ready").status, 200);
  EXPECT_EQ(get("/v2/models/alias/config").json["backend"], "brisk");
  const Answer version = get("/v2/models/alias/versions/2");
  EXPECT_EQ(version.status, 404);
  EXPECT_THAT(fault(version), HasSubstr("no version 2"));
  EXPECT_EQ(get("/v2/models/other").status, 404);
  EXPECT_EQ(get("/v2/models/alias/generate").status, 405);
  EXPECT_EQ(post("/v2/models/alias/config", "{}").status, 405);
  EXPECT_NE(fault(get("/v2/nothing")), "");
}

TEST_F(OipTest, Generates) {
  const Answer answer = post("/v2/models/org/fake/generate", R"({"id":"7","text_input":"abc",
      "parameters":{"max_tokens":5,"temperature":0}})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.json, Json::parse(R"({"id":"7","model_name":"org/fake","model_version":"1",
      "text_output":"abcab"})"));
  // Triton's own form: parameters stand beside the text.
  EXPECT_EQ(post("/v2/models/alias/generate",
                 R"({"text_input":"abc","max_tokens":2,"exclude_input_in_output":false})")
                .json["text_output"],
            "abcab");
  EXPECT_EQ(post("/v2/models/alias/generate",
                 R"({"text_input":"abc","stop_words":["ca"],"random_seed":3})")
                .json["text_output"],
            "ab");
  EXPECT_EQ(post("/v2/models/alias/generate", R"({"text_input":"a",
      "sampling_parameters":"{\"max_tokens\":3}"})")
                .json["text_output"],
            "aaa");
}

TEST_F(OipTest, StreamsWhatItGenerates) {
  test::RawClient raw = client();
  raw.post("/v2/models/alias/generate_stream",
           R"({"id":"x","text_input":"ab","parameters":{"stream":true,"max_tokens":4}})");
  const test::RawResponse response = raw.read_response();
  EXPECT_THAT(response.header("content-type"), HasSubstr("text/event-stream"));
  const Events events = test::parse_events(response);
  EXPECT_FALSE(events.done) << "this protocol has no [DONE]";
  std::string text;
  for (const Json& chunk : events.chunks) {
    EXPECT_EQ(chunk["model_name"], "org/fake");
    EXPECT_EQ(chunk["id"], "x");
    text += chunk["text_output"];
  }
  EXPECT_EQ(text, "abab");
  EXPECT_EQ(events.chunks.back()["finish_reason"], "length");
}

TEST_F(OipTest, InfersWithTensors) {
  const Answer answer = post("/v2/models/alias/infer", R"({"id":"1","inputs":[
      {"name":"text_input","shape":[2,1],"datatype":"BYTES","data":[["ab"],["xy"]]},
      {"name":"max_tokens","shape":[1],"datatype":"INT32","data":[3]},
      {"name":"stream","shape":[1],"datatype":"BOOL","data":[false]}],
      "outputs":[{"name":"text_output","parameters":{"binary_data":false}}]})");
  EXPECT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json, Json::parse(R"({"id":"1","model_name":"org/fake","model_version":"1",
      "outputs":[{"name":"text_output","datatype":"BYTES","shape":[2],"data":["aba","xyx"]}]})"));
}

TEST_F(OipTest, SaysWhatIsWrongWithABody) {
  const std::vector<std::pair<const char*, const char*>> generate = {
      {R"([])", "object"},
      {R"({})", "text_input is missing"},
      {R"({"text_input":3})", "text_input must be a string"},
      {R"({"text_input":"a","parameters":[]})", "parameters must be"},
      {R"({"text_input":"a","stream":true})", "generate_stream"},
      {R"({"text_input":"a","n":2})", "n has no place"},
      {R"({"text_input":"a","what":2})", "what"},
      {R"({"text_input":"a","temperature":9})", "temperature"},
      {R"({"text_input":"a","priority":-1})", "priority"},
      {R"({"text_input":"a","id":[]})", "id must be"},
      {R"({"text_input":"a","sampling_parameters":"{"})", "sampling_parameters"},
      {R"({"text_input":"a","max_tokens":100000})", "context"},
  };
  for (const auto& [body, expected] : generate) {
    const Answer answer = post("/v2/models/alias/generate", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(fault(answer), HasSubstr(expected)) << body;
  }
  const std::vector<std::pair<const char*, const char*>> infer = {
      {R"({"inputs":[]})", "inputs must be"},
      {R"({"inputs":[3]})", "must be an object"},
      {R"({"inputs":[{"name":"text_input","datatype":"BYTES","data":["a"]}]})", "shape and data"},
      {R"({"inputs":[{"name":"text_input","shape":[2],"datatype":"BYTES","data":["a"]}]})",
       "shape says 2"},
      {R"({"inputs":[{"name":"text_input","shape":[1],"datatype":"INT32","data":[1]}]})", "BYTES"},
      {R"({"inputs":[{"name":"text_input","shape":[1],"datatype":"TEXT","data":["a"]}]})",
       "not known"},
      {R"({"inputs":[{"name":"text_input","shape":[1],"datatype":"BYTES","data":[1]}]})",
       "not all BYTES"},
      {R"({"inputs":[{"name":"text_input","shape":[-1],"datatype":"BYTES","data":["a"]}]})",
       "shape must hold"},
      {R"({"inputs":[{"name":"text_input","shape":[1],"datatype":"BYTES","data":[[[[[["a"]]]]]]}]})",
       "nested"},
      {R"({"inputs":[{"name":"text_input","shape":[1],"datatype":"BYTES","data":["a"]}],
           "outputs":[{"name":"logits"}]})",
       "text_output"},
      {R"({"inputs":[{"name":"text_input","shape":[1],"datatype":"BYTES","data":["a"]}],
           "outputs":[{"name":"text_output","parameters":{"binary_data":true}}]})",
       "binary_data"},
  };
  for (const auto& [body, expected] : infer) {
    const Answer answer = post("/v2/models/alias/infer", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(fault(answer), HasSubstr(expected)) << body;
  }
  EXPECT_EQ(engine_->submitted(), 0);
}

TEST_F(OipTest, PrioritiesAreTritons) {
  EXPECT_EQ(api::engine_priority(0), 0);
  EXPECT_LT(api::engine_priority(1), api::engine_priority(2));
  EXPECT_LT(api::engine_priority(2), 0) << "before the default";
  EXPECT_GT(api::engine_priority(int64_t{1} << 62), 0);
  post("/v2/models/alias/generate", R"({"text_input":"a","parameters":{"priority":1}})");
  EXPECT_EQ(engine_->last_request().priority, api::engine_priority(1));
}

TEST_F(OipTest, CountsWhatWasInferred) {
  post("/v2/models/alias/generate", R"({"text_input":"abc","max_tokens":5})");
  post("/v2/models/alias/generate", R"({"text_input":"abc","max_tokens":5})");
  const Json stats = get("/v2/models/alias/stats").json["model_stats"][0];
  EXPECT_EQ(stats["name"], "org/fake");
  EXPECT_EQ(stats["inference_count"], 2);
  EXPECT_GT(stats["last_inference"], 1'600'000'000'000);
  EXPECT_EQ(stats["inference_stats"]["success"]["count"], 2);
  EXPECT_GT(stats["inference_stats"]["success"]["ns"], 0);
  EXPECT_EQ(stats["inference_stats"]["fail"]["count"], 0);
  EXPECT_EQ(get("/v2/models/stats").json["model_stats"][0], stats);
}

TEST_F(OipTest, ModelsOfARepositoryAreLoadedAndUnloaded) {
  const std::string path =
      std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260Ktok512.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
  test::ApiTest::TearDown();
  api::ModelConfig a;
  a.name = "a";
  a.path = path;
  a.engine.threads = 1;
  a.engine.kv_tokens = 1024;
  api::ModelConfig broken = a;
  broken.name = "broken";
  broken.path = BRISK_SOURCE_DIR "/README.md";
  metrics_ = std::make_unique<api::Metrics>();
  models_ = std::make_unique<api::ModelRepository>(*metrics_, api::RepositoryOptions{},
                                                   api::ModelConfigs{.models = {a, broken}},
                                                   api::make_model_loader());
  start_server({}, 1);
  EXPECT_EQ(post("/v2/repository/index", "").json, Json::parse(R"([
      {"name":"a","version":"1","state":"UNAVAILABLE","reason":""},
      {"name":"broken","version":"1","state":"UNAVAILABLE","reason":""}])"));
  EXPECT_EQ(get("/v2/models/a/ready").status, 400);
  EXPECT_EQ(post("/v2/repository/models/a/load", "{}").status, 200);
  EXPECT_EQ(get("/v2/models/a/ready").status, 200);
  EXPECT_EQ(post("/v2/repository/models/a/load", "").status, 200) << "again is well";
  const Answer failed = post("/v2/repository/models/broken/load", "");
  EXPECT_EQ(failed.status, 503);
  EXPECT_THAT(fault(failed), HasSubstr("broken cannot be loaded"));
  const Json index = post("/v2/repository/index", "{}").json;
  EXPECT_EQ(index[0]["state"], "READY");
  EXPECT_EQ(index[1]["reason"], fault(failed));
  EXPECT_EQ(post("/v2/repository/index", R"({"ready":true})").json.size(), 1u);
  EXPECT_EQ(
      post("/v2/repository/models/a/unload", R"({"parameters":{"unload_dependents":true}})").status,
      200);
  EXPECT_EQ(get("/v2/models/a/ready").status, 400);
  EXPECT_EQ(post("/v2/repository/models/a/load", R"({"parameters":{"config":"{}"}})").status, 400);
  EXPECT_EQ(post("/v2/repository/models/c/load", "").status, 404);
  EXPECT_EQ(post("/v2/repository/models/a/remove", "").status, 404);
  // A request loads it as any other does.
  EXPECT_EQ(post("/v2/models/a/generate", R"({"text_input":"Once upon a time","temperature":0,
      "max_tokens":8})")
                .json["text_output"],
            ", there was a little girl");
}

}  // namespace
}  // namespace brisk
