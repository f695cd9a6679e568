// Adapters behind the server: named as models, loaded and unloaded while requests run.
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "serve/api/chat_renderer.h"
#include "serve/api/lora_endpoints.h"
#include "tests/serve/api_fixture.h"
#include "tests/support/tiny_adapter.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;
using test::Answer;
using test::RawClient;

class LoraTest : public test::ApiTest {
 protected:
  void SetUp() override {
    const std::string path = std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260K.bin";
    if (!fs::exists(path)) GTEST_SKIP() << path << " is not here";
    model_ = load_model(path).value();
    directory_ = fs::path(testing::TempDir()) / ("serve-lora-" + std::to_string(::getpid()));
    write_tiny_adapter(directory_ / "open" / "a", model_->spec, {.rank = 4, .seed = 1});
    write_tiny_adapter(directory_ / "open" / "b", model_->spec, {.rank = 9, .seed = 2});
    write_tiny_adapter(directory_ / "secret", model_->spec, {.seed = 3});
    start_with(directory_ / "open");
  }

  void TearDown() override {
    test::ApiTest::TearDown();
    real_.reset();
    fs::remove_all(directory_);
  }

  void start_with(const fs::path& lora_directory) {
    test::ApiTest::TearDown();
    EngineOptions options;
    options.threads = 2;
    options.kv_tokens = 4096;
    options.adapters_max = 2;
    real_ = Engine::create(model_, options).value();
    api::ServedModel served;
    served.engine = real_;
    served.tokenizer = model_->tokenizer.get();
    served.names = {"stories"};
    served.lora_directory = lora_directory.string();
    served.renderer =
        *api::make_chat_renderer(*model_, "{% for m in messages %}{{ m.content }}{% endfor %}");
    serve(std::move(served), {}, false);
  }

  Answer load(const std::string& name, const std::string& path) const {
    return post("/v1/load_lora_adapter", to_text({{"lora_name", name}, {"lora_path", path}}));
  }
  Answer unload(const std::string& name) const {
    return post("/v1/unload_lora_adapter", to_text({{"lora_name", name}}));
  }
  Answer complete(const std::string& model) const {
    return post("/v1/completions", to_text({{"model", model},
                                            {"prompt", "Once upon a time"},
                                            {"temperature", 0},
                                            {"max_tokens", 30},
                                            {"ignore_eos", true}}));
  }

  template <class Condition>
  static bool comes(const Condition& condition) {
    for (int i = 0; i < 10000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  std::shared_ptr<const Model> model_;
  fs::path directory_;
  std::shared_ptr<Engine> real_;
};

TEST_F(LoraTest, AnAdapterIsLoadedNamedListedAndUnloaded) {
  EXPECT_EQ(complete("a").status, 404);
  ASSERT_EQ(load("a", "a").status, 200);
  ASSERT_EQ(load("b", (directory_ / "open" / "b").string()).status, 200);
  const Answer base = complete("stories"), a = complete("a"), b = complete("b");
  ASSERT_EQ(a.status, 200) << a.raw.body;
  EXPECT_EQ(a.json["model"], "a");
  EXPECT_NE(a.json["choices"], base.json["choices"]);
  EXPECT_NE(a.json["choices"], b.json["choices"]);

  const Json models = get("/v1/models").json["data"];
  ASSERT_EQ(models.size(), 3u);
  EXPECT_EQ(models[0]["parent"], nullptr);
  EXPECT_EQ(models[1]["id"], "a");
  EXPECT_EQ(models[1]["parent"], "stories");
  EXPECT_EQ(get("/v1/models/b").json["parent"], "stories");

  ASSERT_EQ(unload("a").status, 200);
  const Answer gone = complete("a");
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(gone.json["error"]["code"], "model_not_found");
  EXPECT_EQ(get("/v1/models/a").status, 404);
  EXPECT_EQ(unload("a").status, 404);
  EXPECT_EQ(complete("stories").json["choices"], base.json["choices"]);
}

TEST_F(LoraTest, ChatsAndTokenizesUnderAnAdaptersName) {
  ASSERT_EQ(load("a", "a").status, 200);
  const Answer chat = post("/v1/chat/completions", R"({"model":"a","temperature":0,"max_tokens":8,
      "messages":[{"role":"user","content":"Once upon a time"}]})");
  EXPECT_EQ(chat.status, 200) << chat.raw.body;
  EXPECT_EQ(post("/tokenize", R"({"model":"a","prompt":"x"})").status, 200);
}

TEST_F(LoraTest, UnloadingWhileAStreamRunsLetsItFinish) {
  ASSERT_EQ(load("a", "a").status, 200);
  const std::string body = to_text({{"model", "a"},
                                    {"prompt", "The cat"},
                                    {"temperature", 0},
                                    {"max_tokens", 400},
                                    {"ignore_eos", true},
                                    {"stream", true}});
  const test::Events alone = stream("/v1/completions", body);
  ASSERT_TRUE(alone.done);
  ASSERT_TRUE(comes([&] { return real_->stats().running == 0; }));
  const int64_t steps = real_->stats().steps;
  RawClient running = client();
  running.post("/v1/completions", body);
  ASSERT_TRUE(comes([&] { return real_->stats().steps > steps; }));
  EXPECT_EQ(unload("a").status, 200);
  EXPECT_EQ(complete("a").status, 404);
  const test::Events finished = test::parse_events(running.read_response(60));
  EXPECT_TRUE(finished.done);
  EXPECT_EQ(finished.text(), alone.text());
}

TEST_F(LoraTest, ManyClientsOfManyAdaptersGetWhatEachGetsAlone) {
  ASSERT_EQ(load("a", "a").status, 200);
  ASSERT_EQ(load("b", "b").status, 200);
  const std::vector<std::string> names = {"stories", "a", "b"};
  std::vector<Json> alone;
  for (const std::string& name : names) alone.push_back(complete(name).json["choices"]);
  std::vector<Json> together(24);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < together.size(); ++i) {
    threads.emplace_back([&, i] { together[i] = complete(names[i % 3]).json["choices"]; });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(together[i], alone[i % 3]) << i;
}

TEST_F(LoraTest, RefusesWhatCannotBeLoaded) {
  EXPECT_EQ(load("stories", "a").status, 400);
  EXPECT_EQ(load("x", "absent").status, 404);
  EXPECT_EQ(post("/v1/load_lora_adapter", R"({"lora_name":"x"})").status, 400);
  EXPECT_EQ(post("/v1/load_lora_adapter", R"({"lora_name":3,"lora_path":"a"})").status, 400);
  EXPECT_EQ(post("/v1/unload_lora_adapter", "{}").status, 400);
  ASSERT_EQ(load("a", "a").status, 200);
  EXPECT_EQ(load("a", "b").status, 400) << "the name is taken";
  ASSERT_EQ(load("b", "b").status, 200);
  EXPECT_EQ(load("c", "a").status, 429) << "two is the limit";
}

TEST_F(LoraTest, PathsStayInsideTheDirectory) {
  fs::create_symlink(directory_ / "secret", directory_ / "open" / "link");
  for (const std::string& path :
       {std::string("../secret"), (directory_ / "secret").string(), std::string("link"),
        std::string("a/../../secret"), std::string("/etc/passwd"), std::string("../absent")}) {
    const Answer answer = load("x", path);
    EXPECT_EQ(answer.status, 403) << path;
  }
  EXPECT_EQ(load("x", "absent/../a").status, 200);
  EXPECT_TRUE(absl::IsPermissionDenied(
      api::path_inside((directory_ / "open").string(), (directory_ / "opening").string())
          .status()));
}

TEST_F(LoraTest, WithoutADirectoryNothingIsLoadedOrUnloaded) {
  start_with("");
  ASSERT_TRUE(real_->adapters().load("a", (directory_ / "open" / "a").string()).ok());
  const Answer refused = load("x", "a");
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.json["error"]["message"].get<std::string>(),
              testing::HasSubstr("--lora-dir"));
  EXPECT_EQ(unload("a").status, 403);
  EXPECT_EQ(complete("a").status, 200);
}

}  // namespace
}  // namespace brisk
