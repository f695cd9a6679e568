// The OpenAPI document: that it is whole, that it and the table of routes are of one mind, and that
// a live server takes and gives what it says. All other tests over ApiTest hold it against theirs.
#include "serve/api/openapi.h"

#include <filesystem>
#include <regex>

#include "serve/api/model_loader.h"
#include "serve/batch/batch_service.h"
#include "serve/console/console_page.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

using test::Answer;
using test::OpenApiChecker;
using testing::Contains;
using testing::IsEmpty;

const Json& document() { return OpenApiChecker::instance().document(); }

// Calls `look` with every object of `json`.
void visit_objects(const Json& json, const std::function<void(const Json&)>& look) {
  if (json.is_object()) look(json);
  for (const Json& part : json) {
    if (part.is_structured()) visit_objects(part, look);
  }
}

TEST(OpenApiDocument, EveryReferenceLeadsSomewhere) {
  int references = 0;
  visit_objects(document(), [&](const Json& object) {
    const auto reference = object.find("$ref");
    if (reference == object.end()) return;
    ++references;
    const std::string target = reference->get<std::string>();
    ASSERT_TRUE(target.starts_with("#/components/")) << target;
    EXPECT_TRUE(document().contains(Json::json_pointer(target.substr(1)))) << target;
  });
  EXPECT_GT(references, 100);
}

TEST(OpenApiDocument, EveryComponentIsUsed) {
  const std::string text = to_text(document());
  for (const auto& [kind, components] : document()["components"].items()) {
    if (kind == "securitySchemes") continue;
    for (const auto& [name, component] : components.items()) {
      EXPECT_NE(text.find(fmt::format("\"#/components/{}/{}\"", kind, name)), std::string::npos)
          << name;
    }
  }
}

TEST(OpenApiDocument, EveryOperationHasANameAndTheParametersOfItsPath) {
  std::set<std::string> names;
  const std::regex placeholder(R"(\{(\w+)\})");
  for (const auto& [path, item] : document()["paths"].items()) {
    const std::set<std::string> wanted = [&] {
      std::set<std::string> found;
      for (std::sregex_iterator at(path.begin(), path.end(), placeholder), end; at != end; ++at) {
        found.insert((*at)[1]);
      }
      return found;
    }();
    for (const auto& [method, operation] : item.items()) {
      EXPECT_TRUE(names.insert(operation["operationId"]).second) << operation["operationId"];
      EXPECT_FALSE(operation["summary"].get<std::string>().empty());
      std::set<std::string> given;
      for (const Json& each : operation.value("parameters", Json::array())) {
        const Json& parameter =
            document().at(Json::json_pointer(each["$ref"].get<std::string>().substr(1)));
        if (parameter["in"] == "path") given.insert(parameter["name"]);
      }
      EXPECT_EQ(given, wanted) << method << " " << path;
    }
  }
}

// A server with every endpoint there is, over the model that ships.
class OpenApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "brisk_openapi_" + std::to_string(::getpid());
    metrics_ = std::make_unique<api::Metrics>(api::MetricsOptions{});
    api::ModelConfig config = {.name = "brisk-small",
                               .path = BRISK_SOURCE_DIR "/models/brisk-small",
                               .engine = {.threads = 2, .kv_tokens = 4096}};
    models_ = std::make_unique<api::ModelRepository>(
        *metrics_, api::RepositoryOptions{}, api::ModelConfigs{.models = {std::move(config)}},
        api::make_model_loader());
    ASSERT_TRUE(models_->load("brisk-small").ok());
    api::Service endpoints(*models_, *metrics_);
    all_ = endpoints.routes();
    auto batches = batch::BatchService::start({.directory = directory_}, all_, ring_);
    ASSERT_TRUE(batches.ok()) << batches.status();
    batches_ = std::move(*batches);
    more_routes_ = batches_->routes();
    more_routes_.push_back(console::page_route());
    all_.insert(all_.end(), more_routes_.begin(), more_routes_.end());
    start_server({}, 2);
  }

  void TearDown() override {
    if (batches_ != nullptr) batches_->stop();
    server_.reset();
    batches_.reset();
    ApiTest::TearDown();
    std::filesystem::remove_all(directory_);
  }

  Answer ask(std::string_view method, const std::string& path) const {
    test::RawClient raw = client();
    raw.send(fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method,
                         path));
    test::RawResponse response = raw.read_response();
    check(method, path, "", response);
    return to_answer(std::move(response));
  }

  std::string upload(const std::string& lines) const {
    const std::string body =
        "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x\r\n"
        "Content-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n" +
        lines + "\r\n--x--\r\n";
    test::RawClient raw = client();
    raw.post("/v1/files", body, "Content-Type: multipart/form-data; boundary=x\r\n");
    test::RawResponse response = raw.read_response();
    check("POST", "/v1/files", body, response);
    return to_answer(std::move(response)).json["id"];
  }

  void take_and_give_200(const std::string& path, const std::string& body) const {
    const Answer answer = post(path, body);
    EXPECT_EQ(answer.status, 200) << path << ": " << answer.raw.body;
  }

  void visit_generation() const;
  void visit_responses() const;
  void visit_text() const;
  void visit_batches() const;
  void visit_running_requests() const;
  void visit_models() const;

  const std::shared_ptr<const http::KeyRing> ring_ =
      std::make_shared<http::KeyRing>(std::vector<http::ApiKey>{});
  std::string directory_;
  std::unique_ptr<batch::BatchService> batches_;
  std::vector<http::Route> all_;
};

TEST_F(OpenApiTest, TheTableOfRoutesAndTheDocumentAreOfOneMind) {
  std::vector<int> uses(all_.size(), 0);
  for (const auto& [path, item] : document()["paths"].items()) {
    for (const auto& [key, operation] : item.items()) {
      std::string method = key;
      for (char& c : method) c = static_cast<char>(std::toupper(c));
      std::vector<std::string> params;
      const auto route = std::ranges::find_if(all_, [&](const http::Route& each) {
        return each.method == method && http::match_path(each.path, path, params);
      });
      ASSERT_NE(route, all_.end()) << "nothing answers " << method << " " << path;
      ++uses[static_cast<size_t>(route - all_.begin())];
      const bool needs_key = !operation.contains("security");
      EXPECT_EQ(needs_key, route->access == http::Access::kNeedsKey) << method << " " << path;
    }
  }
  for (size_t i = 0; i < all_.size(); ++i) {
    EXPECT_GT(uses[i], 0) << all_[i].method << " " << all_[i].path << " is not documented";
  }
}

TEST_F(OpenApiTest, IsServed) {
  const Answer answer = get("/openapi.json");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.json, document());
  EXPECT_EQ(answer.json["info"]["version"], get("/version").json["version"]);
  EXPECT_EQ(answer.json["openapi"], "3.1.0");
}

// A field that the document knows and the server does not is refused by its name.
TEST_F(OpenApiTest, TheServerKnowsEveryDocumentedFieldOfRequests) {
  const std::map<std::string, Json> needed = {
      {"/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "a"}}}}}},
      {"/v1/completions", {{"prompt", "a"}}},
      {"/v1/responses", {{"input", "a"}}},
      {"/v1/messages", {{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"max_tokens", 4}}},
      {"/v1/messages/count_tokens", {{"messages", {{{"role", "user"}, {"content", "a"}}}}}},
      {"/v1/embeddings", {{"input", "a"}}},
      {"/detokenize", {{"tokens", {1}}}},
      {"/apply-template", {{"messages", {{{"role", "user"}, {"content", "a"}}}}}},
  };
  const Json& schemas = document()["components"]["schemas"];
  for (const auto& [path, fields] : needed) {
    const Json& operation = document()["paths"][path]["post"];
    const std::string name =
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    const Json& schema = schemas[name.substr(name.rfind('/') + 1)];
    Json body = fields;
    const auto add_all = [&](const Json& properties) {
      for (const auto& [field, ignored] : properties.items()) body.emplace(field, nullptr);
    };
    add_all(schema["properties"]);
    if (schema.contains("allOf")) add_all(schemas["GenerationFields"]["properties"]);
    const Answer answer = post(path, to_text(body));
    EXPECT_EQ(answer.status, 200) << path << ": " << answer.raw.body;
  }
}

void OpenApiTest::visit_generation() const {
  const std::string messages = R"("messages":[{"role":"user","content":"Who are you?"}])";
  const std::string tool = R"({"type":"function","function":{"name":"f","parameters":{}}})";
  take_and_give_200("/v1/chat/completions",
                    "{" + messages + R"(,"logprobs":true,"top_logprobs":2,"n":2,"max_tokens":5,
      "prompt_logprobs":1})");
  take_and_give_200("/v1/chat/completions", "{" + messages + R"(,"max_tokens":40,
      "tool_choice":"required","tools":[)" + tool +
                                                "]}");
  stream("/v1/chat/completions", "{" + messages + R"(,"stream":true,"logprobs":true,
      "stream_options":{"include_usage":true},"tool_choice":"required","tools":[)" +
                                     tool + "]}");
  take_and_give_200("/v1/completions", R"({"prompt":["Once","upon"],"logprobs":2,"echo":true,
      "max_tokens":5,"prompt_logprobs":1,"logit_bias":{"5":1},"stop":["x"]})");
  stream("/v1/completions", R"({"prompt":"Once","max_tokens":5,"logprobs":1,"stream":true,
      "stream_options":{"include_usage":true}})");
  const std::string anthropic = R"({"max_tokens":40,)" + messages;
  const std::string anthropic_tool = R"(,"tools":[{"name":"f","input_schema":{"type":"object"}}],
      "tool_choice":{"type":"any"})";
  take_and_give_200("/v1/messages", anthropic + "}");
  take_and_give_200("/v1/messages", anthropic + anthropic_tool + "}");
  posted("/v1/messages", anthropic + R"(,"stream":true})");
  posted("/v1/messages", anthropic + anthropic_tool + R"(,"stream":true})");
  take_and_give_200("/v1/messages/count_tokens", "{" + messages + "}");
  take_and_give_200("/v1/embeddings", R"({"input":["a","b"]})");
  take_and_give_200("/v1/embeddings", R"({"input":"a","encoding_format":"base64"})");
}

void OpenApiTest::visit_responses() const {
  const std::string tool = R"("tool_choice":"required","tools":[{"type":"function","name":"f"}])";
  const Answer first = post("/v1/responses", R"({"input":"Who are you?","max_output_tokens":5,
      "top_logprobs":2,"metadata":{"a":"b"}})");
  const std::string path = "/v1/responses/" + first.json["id"].get<std::string>();
  take_and_give_200("/v1/responses", R"({"input":"a",)" + tool + "}");
  posted("/v1/responses", R"({"input":"Who are you?","stream":true,"top_logprobs":1})");
  posted("/v1/responses", R"({"input":"a","stream":true,)" + tool + "}");
  ask("GET", path);
  ask("GET", path + "/input_items");
  ask("DELETE", path);
}

void OpenApiTest::visit_text() const {
  take_and_give_200("/tokenize", R"({"prompt":"a b","return_token_strs":true})");
  take_and_give_200("/tokenize", R"({"messages":[{"role":"user","content":"a"}]})");
  take_and_give_200("/detokenize", R"({"tokens":[5,6]})");
  take_and_give_200("/apply-template", R"({"messages":[{"role":"user","content":"a"}]})");
  for (const char* path : {"/", "/openapi.json", "/health", "/health/live", "/health/ready",
                           "/version", "/metrics", "/v1/models", "/v1/models/brisk-small"}) {
    ask("GET", path);
  }
}

void OpenApiTest::visit_batches() const {
  const std::string file =
      upload(R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":"a"}})");
  ask("GET", "/v1/files");
  ask("GET", "/v1/files/" + file);
  ask("GET", "/v1/files/" + file + "/content");
  const auto batch_of = [&](const std::string& input) {
    return post("/v1/batches", R"({"input_file_id":")" + input +
                                   R"(","endpoint":"/v1/completions","metadata":{"a":"b"}})")
        .json["id"]
        .get<std::string>();
  };
  const std::string wrong = batch_of(upload("no JSON"));
  const std::string batch = batch_of(file);
  const auto status_of = [&](const std::string& id) {
    return ask("GET", "/v1/batches/" + id).json["status"];
  };
  for (int i = 0; i < 200 && status_of(wrong) != "failed"; ++i) ::usleep(50'000);
  for (int i = 0; i < 200 && status_of(batch) != "completed"; ++i) ::usleep(50'000);
  EXPECT_EQ(status_of(wrong), "failed");
  EXPECT_EQ(status_of(batch), "completed");
  ask("GET", "/v1/batches");
  std::string long_lines;
  for (int i = 0; i < 500; ++i) {
    long_lines += fmt::format(
        R"({{"custom_id":"{}","method":"POST","url":"/v1/completions","body":{{"prompt":"a",)"
        R"("max_tokens":200,"ignore_eos":true}}}})"
        "\n",
        i);
  }
  ask("POST", "/v1/batches/" + batch_of(upload(long_lines)) + "/cancel");
  ask("DELETE", "/v1/files/" + file);
}

void OpenApiTest::visit_running_requests() const {
  test::RawClient busy = client();
  busy.post("/v1/completions", R"({"prompt":"a","max_tokens":200,"n":16,"ignore_eos":true,
      "stream":true})");
  ASSERT_TRUE(busy.read_until("text"));
  const Answer running = ask("GET", "/v1/brisk/requests");
  ASSERT_FALSE(running.json["data"].empty());
  ask("DELETE", "/v1/brisk/requests/" + running.json["data"][0]["id"].get<std::string>());
}

void OpenApiTest::visit_models() const {
  const std::string model = "/v2/models/brisk-small";
  for (const char* path : {"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats"}) {
    ask("GET", path);
  }
  for (const char* verb : {"", "/ready", "/config", "/stats"}) ask("GET", model + verb);
  take_and_give_200(model + "/infer", R"({"id":"7","inputs":[{"name":"text_input","shape":[1],
      "datatype":"BYTES","data":["a"]}],"outputs":[{"name":"text_output"}]})");
  take_and_give_200(model + "/generate", R"({"text_input":"a","parameters":{"max_tokens":3}})");
  posted(model + "/generate_stream", R"({"text_input":"a","max_tokens":3})");
  take_and_give_200("/v2/repository/index", R"({"ready":true})");
  take_and_give_200("/v2/repository/models/brisk-small/unload", "");
  EXPECT_EQ(ask("GET", model + "/ready").status, 400);
  ask("GET", "/v1/models");
  take_and_give_200("/v2/repository/models/brisk-small/load", "{}");
}

TEST_F(OpenApiTest, EveryEndpointTakesAndGivesWhatIsDocumented) {
  visit_generation();
  visit_responses();
  visit_text();
  visit_batches();
  visit_running_requests();
  visit_models();
  const std::set<std::string> answered = OpenApiChecker::instance().answered();
  for (const auto& [path, item] : document()["paths"].items()) {
    if (path.ends_with("_lora_adapter")) continue;  // lora_test.cc
    for (const auto& [method, operation] : item.items()) {
      EXPECT_THAT(answered, Contains(method + " " + path)) << "was never answered with 200";
    }
  }
}

TEST_F(OpenApiTest, TheCheckerFindsWhatIsNotDocumented) {
  test::RawClient raw = client();
  raw.get("/version");
  test::RawResponse response = raw.read_response();
  const auto fault = [&](std::string_view method, std::string_view path, std::string_view body) {
    return OpenApiChecker::instance().fault(
        {.method = method, .path = path, .body = body, .response = response});
  };
  EXPECT_EQ(fault("GET", "/version", ""), "");
  EXPECT_NE(fault("GET", "/v1/models", ""), "") << "another answer";
  EXPECT_NE(fault("GET", "/verzion", ""), "") << "no such endpoint";
  response.body = R"({"version":"1","more":2})";
  EXPECT_NE(fault("GET", "/version", ""), "") << "one member more";
  response.body = R"({"prompt":"a"})";
  EXPECT_EQ(fault("POST", "/detokenize", R"({"tokens":[1]})"), "");
  EXPECT_NE(fault("POST", "/detokenize", R"({"tokens":[1],"more":2})"), "") << "of the request";
}

}  // namespace
}  // namespace brisk
