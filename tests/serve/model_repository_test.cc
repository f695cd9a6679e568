// Many models behind one server: loaded when asked for, unloaded when not, over real small models.
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "compute/sys/mapped_file.h"
#include "serve/api/model_loader.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;
using api::ModelConfig;
using api::ModelState;
using test::Answer;
using test::RawClient;
using testing::HasSubstr;

const std::string kStories = std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260K.bin";

// The real loader, counted, and held up on demand.
class WatchedLoader final : public api::ModelLoader {
 public:
  struct Watch {
    std::atomic<int> loads = 0;
    std::atomic<bool> hold = false;
  };

  explicit WatchedLoader(Watch& watch) : watch_(watch) {}

  absl::StatusOr<api::ModelMemory> measure(const ModelConfig& config) override {
    return real_->measure(config);
  }
  absl::StatusOr<api::ServedModel> load(const ModelConfig& config, int64_t kv_bytes,
                                        const std::function<void(double)>& progress) override {
    ++watch_.loads;
    progress(0.5);
    while (watch_.hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return real_->load(config, kv_bytes, progress);
  }

 private:
  Watch& watch_;
  const std::unique_ptr<api::ModelLoader> real_ = api::make_model_loader();
};

ModelConfig stories(const std::string& name) {
  ModelConfig config;
  config.name = name;
  config.path = kStories;
  config.engine.threads = 1;
  config.engine.kv_tokens = 2048;
  config.engine.sequences_max = 8;
  config.engine.tokens_per_step_max = 64;
  return config;
}

template <class Condition>
bool comes(const Condition& condition) {
  for (int i = 0; i < 10000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

class ModelRepositoryTest : public test::ApiTest {
 protected:
  void SetUp() override {
    if (!fs::exists(kStories)) GTEST_SKIP() << kStories << " is not here";
    directory_ = fs::path(testing::TempDir()) / ("serve-models-" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }

  void TearDown() override {
    watch_.hold = false;
    test::ApiTest::TearDown();
    fs::remove_all(directory_);
  }

  void serve_models(std::vector<ModelConfig> models, api::RepositoryOptions options = {},
                    const std::string& default_name = "") {
    api::ModelConfigs configs = {.models = std::move(models), .default_name = default_name};
    ASSERT_TRUE(api::check(configs).ok());
    metrics_ = std::make_unique<api::Metrics>();
    models_ = std::make_unique<api::ModelRepository>(
        *metrics_, options, std::move(configs), std::make_unique<WatchedLoader>(watch_), clock_);
    start_server({}, 1);
  }

  static std::string story(const std::string& model, int tokens = 8, bool stream = false) {
    return to_text({{"model", model},
                    {"prompt", "Once upon a time"},
                    {"temperature", 0},
                    {"ignore_eos", true},
                    {"max_tokens", tokens},
                    {"stream", stream}});
  }
  Answer ask(const std::string& model) const { return post("/v1/completions", story(model)); }

  Json status(const std::string& model) const { return get("/v1/models/" + model).json["status"]; }
  std::string state(const std::string& model) const { return status(model)["value"]; }
  std::string error(const Answer& answer) const { return answer.json["error"]["message"]; }

  int64_t bytes_of(const ModelConfig& config) const {
    return api::make_model_loader()->measure(config).value().needed();
  }

  WatchedLoader::Watch watch_;
  ManualClock clock_;
  fs::path directory_;
};

TEST_F(ModelRepositoryTest, LoadsAModelWhenItIsAskedFor) {
  serve_models({stories("a"), stories("b")});
  EXPECT_EQ(state("a"), "unloaded");
  const Answer answer = ask("a");
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(answer.json["choices"][0]["text"], ", there was a little girl");
  EXPECT_EQ(state("a"), "loaded");
  EXPECT_EQ(state("b"), "unloaded");
  EXPECT_GT(status("a")["memory_bytes"], 1 << 20);
  const Json all = get("/v1/models").json["data"];
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["max_model_len"], 512);
  EXPECT_EQ(all[1]["max_model_len"], nullptr);
  const std::string metrics = get("/metrics").raw.body;
  EXPECT_THAT(metrics, HasSubstr("brisk:generation_tokens_total{model_name=\"a\"} 8"));
  EXPECT_THAT(metrics, Not(HasSubstr("model_name=\"b\"")));
}

TEST_F(ModelRepositoryTest, ManyFirstRequestsWaitForOneLoad) {
  watch_.hold = true;
  serve_models({stories("a"), stories("b")});
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(client());
    clients.back().post(i % 2 == 0 ? "/v1/completions" : "/tokenize",
                        i % 2 == 0 ? story("a") : R"({"model":"a","prompt":"x"})");
  }
  ASSERT_TRUE(comes([&] { return status("a")["waiting"] == 20; }));
  EXPECT_EQ(get("/health").status, 200) << "the only HTTP thread is free meanwhile";
  EXPECT_TRUE(comes([&] { return status("a")["progress"] == 0.5; }));
  watch_.hold = false;
  for (RawClient& one : clients) EXPECT_EQ(one.read_response(60).status, 200);
  EXPECT_EQ(watch_.loads, 1);
}

TEST_F(ModelRepositoryTest, StreamsBeginWhenTheModelIsThere) {
  serve_models({stories("a")});
  const test::Events events = stream("/v1/completions", story("a", 8, true));
  EXPECT_TRUE(events.done);
  EXPECT_EQ(events.text(), ", there was a little girl");
}

TEST_F(ModelRepositoryTest, ABrokenModelHarmsNobodyElse) {
  std::ofstream(directory_ / "broken.gguf") << "GGUF and then nothing of the kind";
  ModelConfig broken = stories("broken"), absent = stories("absent");
  broken.path = (directory_ / "broken.gguf").string();
  broken.tokenizer = std::string(BRISK_DATA_DIR) + "/models/stories260K/tok512.bin";
  absent.path = (directory_ / "absent.gguf").string();
  serve_models({broken, absent, stories("a")});
  const Answer first = ask("broken");
  EXPECT_EQ(first.status, 503);
  EXPECT_EQ(first.json["error"]["code"], "model_not_loaded");
  EXPECT_THAT(error(first), HasSubstr("broken cannot be loaded: "));
  EXPECT_THAT(error(first), Not(HasSubstr(directory_.string()))) << "clients learn no paths";
  EXPECT_EQ(first.raw.header("retry-after"), "10");
  const Answer gone = ask("absent");
  EXPECT_EQ(gone.status, 404) << gone.raw.body;
  EXPECT_EQ(state("broken"), "failed");
  EXPECT_EQ(status("broken")["error"], error(first));
  EXPECT_EQ(ask("a").status, 200);
  // It is not tried again at once, but later, when it may have been mended.
  fs::copy_file(kStories, directory_ / "broken.gguf", fs::copy_options::overwrite_existing);
  EXPECT_EQ(ask("broken").status, 503);
  clock_.advance(11);
  EXPECT_EQ(ask("broken").status, 200);
}

TEST_F(ModelRepositoryTest, TheLeastRecentlyUsedGoesWhenMemoryIsNeeded) {
  const int64_t each = bytes_of(stories("a"));
  serve_models({stories("a"), stories("b"), stories("c")}, {.memory_max = each * 5 / 2});
  EXPECT_EQ(ask("a").status, 200);
  clock_.advance(1);
  EXPECT_EQ(ask("b").status, 200);
  clock_.advance(1);
  EXPECT_EQ(ask("a").status, 200);
  clock_.advance(1);
  EXPECT_EQ(ask("c").status, 200);
  EXPECT_EQ(state("a"), "loaded");
  EXPECT_EQ(state("b"), "unloaded");
  EXPECT_EQ(state("c"), "loaded");
  EXPECT_EQ(ask("b").status, 200);
  EXPECT_EQ(state("a"), "unloaded");
  EXPECT_EQ(watch_.loads, 4);
}

TEST_F(ModelRepositoryTest, RefusesWhatCannotFitWithFigures) {
  ModelConfig large = stories("large");
  large.engine.kv_tokens = 1 << 20;
  ModelConfig kept = stories("kept"), second = stories("second");
  kept.keep = true;
  serve_models({large, kept, second}, {.memory_max = bytes_of(kept) * 3 / 2});
  const Answer answer = ask("large");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(
      error(answer),
      testing::MatchesRegex("large cannot be loaded: large needs .* \\(weights .*, KV "
                            "cache .* or more, a step .*\\), but models may take .* in all.*"));
  EXPECT_EQ(watch_.loads, 0) << "its weights were never read";
  ASSERT_EQ(ask("kept").status, 200);
  const Answer full = ask("second");
  EXPECT_EQ(full.status, 503);
  EXPECT_THAT(error(full), HasSubstr("the rest is held by kept ("));
  EXPECT_EQ(ask("kept").status, 200);
}

TEST_F(ModelRepositoryTest, UnloadingLetsAStreamFinish) {
  serve_models({stories("a"), stories("b")});
  const test::Events alone = stream("/v1/completions", story("a", 450, true));
  RawClient running = client();
  running.post("/v1/completions", story("a", 450, true));
  ASSERT_TRUE(comes([&] { return status("a")["in_use"] == 1; }));
  ASSERT_TRUE(models_->unload("a").ok());
  EXPECT_EQ(state("a"), "unloaded");
  EXPECT_EQ(ask("a").status, 200) << "a new request loads it anew, beside the old one";
  const test::Events finished = test::parse_events(running.read_response(60));
  EXPECT_TRUE(finished.done);
  EXPECT_EQ(finished.text(), alone.text());
}

TEST_F(ModelRepositoryTest, ABusyModelFinishesBeforeItsMemoryIsTaken) {
  const int64_t each = bytes_of(stories("a"));
  serve_models({stories("a"), stories("b")}, {.memory_max = each * 3 / 2});
  RawClient running = client();
  running.post("/v1/completions", story("a", 480, true));
  ASSERT_TRUE(comes([&] { return status("a")["in_use"] == 1; }));
  const Answer other = ask("b");
  EXPECT_EQ(other.status, 200) << other.raw.body;
  EXPECT_TRUE(running.read_until("data: [DONE]"));
  EXPECT_EQ(state("a"), "unloaded");
}

TEST_F(ModelRepositoryTest, AnIdleModelGoesAndComesBack) {
  ModelConfig kept = stories("kept");
  kept.keep = true;
  serve_models({stories("a"), kept}, {.idle_seconds_max = 0.5});
  ASSERT_EQ(ask("a").status, 200);
  ASSERT_EQ(ask("kept").status, 200);
  clock_.advance(0.4);
  EXPECT_EQ(ask("a").status, 200);
  clock_.advance(0.4);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(state("a"), "loaded") << "it was used since";
  clock_.advance(0.2);
  EXPECT_TRUE(comes([&] { return state("a") == "unloaded"; }));
  EXPECT_EQ(state("kept"), "loaded");
  EXPECT_EQ(ask("a").status, 200);
  EXPECT_EQ(watch_.loads, 3);
}

TEST_F(ModelRepositoryTest, WaitingForAModelEndsAtItsDeadline) {
  watch_.hold = true;
  serve_models({stories("a")}, {.wait_seconds_max = 5});
  RawClient waiting = client();
  waiting.post("/v1/completions", story("a"));
  ASSERT_TRUE(comes([&] {
    const Json now = status("a");
    return now["waiting"] == 1 && now["progress"] == 0.5;
  }));
  clock_.advance(6);
  const Answer late = to_answer(waiting.read_response(20));
  EXPECT_EQ(late.status, 503);
  EXPECT_THAT(error(late), HasSubstr("a is still loading (50 %)"));
  watch_.hold = false;
  EXPECT_EQ(ask("a").status, 200) << "the load goes on";
  EXPECT_EQ(watch_.loads, 1);
}

TEST_F(ModelRepositoryTest, ClientsThatLeaveWaitNoMore) {
  watch_.hold = true;
  serve_models({stories("a")});
  {
    RawClient waiting = client();
    waiting.post("/v1/completions", story("a"));
    ASSERT_TRUE(comes([&] { return status("a")["waiting"] == 1; }));
  }
  EXPECT_TRUE(comes([&] { return status("a")["waiting"] == 0; }));
}

TEST_F(ModelRepositoryTest, OnlySoManyWait) {
  watch_.hold = true;
  serve_models({stories("a")}, {.waiting_max = 1});
  RawClient waiting = client();
  waiting.post("/v1/completions", story("a"));
  ASSERT_TRUE(comes([&] { return status("a")["waiting"] == 1; }));
  EXPECT_EQ(ask("a").status, 429);
}

TEST_F(ModelRepositoryTest, DrainingEndsTheWaits) {
  watch_.hold = true;
  serve_models({stories("a")});
  RawClient waiting = client();
  waiting.post("/v1/completions", story("a"));
  ASSERT_TRUE(comes([&] { return status("a")["waiting"] == 1; }));
  models_->drain(1);
  EXPECT_EQ(waiting.read_response(10).status, 503);
  EXPECT_EQ(ask("a").status, 503);
}

TEST_F(ModelRepositoryTest, ModelsComeAndGoWhileItServes) {
  serve_models({stories("a"), stories("b")});
  ASSERT_EQ(ask("a").status, 200);
  test::RawClient running = client();
  running.post("/v1/completions", story("a", 400, true));
  ASSERT_TRUE(running.read_until("text"));
  watch_.hold = true;
  test::RawClient waiting = client();
  waiting.post("/v1/completions", story("b"));
  ASSERT_TRUE(comes([&] { return state("b") == "loading"; }));

  models_->refresh({.models = {stories("c")}});
  EXPECT_EQ(ask("a").status, 404);
  EXPECT_EQ(state("b"), "loading") << "until it is loaded";
  EXPECT_EQ(state("c"), "unloaded");
  EXPECT_TRUE(running.read_until("data: [DONE]")) << "what runs is finished";
  watch_.hold = false;
  EXPECT_EQ(waiting.read_response().status, 200);

  models_->refresh({.models = {stories("c")}});
  EXPECT_EQ(ask("b").status, 404);
  EXPECT_EQ(ask("").status, 200) << "the only model is the default";
  EXPECT_EQ(state("c"), "loaded");
  models_->refresh({.models = {stories("c"), stories("a")}});
  EXPECT_EQ(state("c"), "loaded") << "it stays as it is";
  EXPECT_EQ(ask("a").status, 200);
}

TEST_F(ModelRepositoryTest, AModelThatHasChangedIsLoadedAnewAndWhatRunsIsFinished) {
  ModelConfig a = stories("a"), b = stories("b");
  serve_models({a, b});
  ASSERT_EQ(ask("a").status, 200);
  test::RawClient running = client();
  running.post("/v1/completions", story("a", 400, true));
  ASSERT_TRUE(running.read_until("text"));

  a.edition = "second";
  a.aliases = {"new-name"};
  b.edition = "second";
  models_->refresh({.models = {a, b}});
  EXPECT_EQ(ask("new-name").status, 200) << "the new one";
  EXPECT_EQ(state("a"), "loaded") << "as it was before";
  EXPECT_EQ(state("b"), "unloaded") << "likewise";
  EXPECT_TRUE(running.read_until("data: [DONE]"));

  a.aliases = {};
  models_->refresh({.models = {a, b}});
  EXPECT_EQ(ask("new-name").status, 200) << "the edition decides, and it is the same";
}

TEST_F(ModelRepositoryTest, NamesAliasesAndTheDefault) {
  ModelConfig a = stories("a");
  a.aliases = {"gpt-4o-mini", "org/a"};
  serve_models({a, stories("b")}, {}, "b");
  const Answer answer = ask("gpt-4o-mini");
  EXPECT_EQ(answer.json["model"], "gpt-4o-mini");
  EXPECT_EQ(state("org/a"), "loaded");
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"x","max_tokens":1})").json["model"], "b");
  const Answer unknown = ask("c");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json["error"]["code"], "model_not_found");
  EXPECT_THAT(error(unknown), HasSubstr("this server has a, b"));
  EXPECT_EQ(get("/v1/models/c").status, 404);
  serve_models({a, stories("b")});
  const Answer unnamed = post("/v1/completions", R"({"prompt":"x"})");
  EXPECT_EQ(unnamed.status, 400);
  EXPECT_EQ(unnamed.json["error"]["param"], "model");
}

TEST_F(ModelRepositoryTest, NothingIsLoadedForABodyThatNobodyCanRead) {
  serve_models({stories("a")});
  EXPECT_EQ(post("/v1/completions", "{\"prompt\":").status, 400);
  EXPECT_EQ(post("/v1/completions", "[]").status, 400);
  EXPECT_EQ(state("a"), "unloaded");
}

TEST_F(ModelRepositoryTest, AModelHasItsOwnDefaults) {
  ModelConfig greedy = stories("greedy"), wild = stories("wild");
  greedy.sampling.temperature = 0;
  greedy.engine.context_max = 64;
  std::ofstream(directory_ / "t.jinja") << "{% for m in messages %}<{{ m.content }}>{% endfor %}";
  greedy.chat_template = (directory_ / "t.jinja").string();
  serve_models({greedy, wild});
  const auto tell = [&](const std::string& model, int seed) {
    return post("/v1/completions", to_text({{"model", model},
                                            {"prompt", "Once upon a time"},
                                            {"seed", seed},
                                            {"max_tokens", 20}}))
        .json["choices"][0]["text"];
  };
  EXPECT_EQ(tell("greedy", 1), tell("greedy", 2));
  EXPECT_NE(tell("wild", 1), tell("wild", 2));
  EXPECT_EQ(get("/v1/models/greedy").json["max_model_len"], 64);
  EXPECT_EQ(
      post("/apply-template", R"({"model":"greedy","messages":[{"role":"user","content":"a"}]})")
          .json["prompt"],
      "<a>");
}

TEST_F(ModelRepositoryTest, ClientsOfManyModelsThatComeAndGoAreAllServed) {
  const int64_t each = bytes_of(stories("a"));
  serve_models({stories("a"), stories("b"), stories("c")}, {.memory_max = each * 5 / 2});
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 3; ++k) {
        const Answer answer = ask(std::string(1, static_cast<char>('a' + (i + k) % 3)));
        if (answer.status == 200 &&
            answer.json["choices"][0]["text"] == ", there was a little girl") {
          ++right;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 36);
}

}  // namespace
}  // namespace brisk
