#include "serve/api/models_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "base/status.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;
using api::parse_models;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string fault_of(std::string_view toml) {
  const auto configs = parse_models(toml, "/m", {});
  return configs.ok() ? "none" : std::string(message_of(configs.status()));
}

TEST(ModelsFile, SaysEverythingAboutAModel) {
  api::ModelConfig base;
  base.engine.queue_max = 7;
  const auto configs = parse_models(R"(
default = "small"
[models.small]
path = "small.gguf"
aliases = ["gpt-4o-mini", "default"]
tokenizer = "tok.model"
chat_template = "/etc/chat.jinja"
context = 4096
kv_memory = "1.5GiB"
kv_dtype = "fp8"
activations = "f32"
pooling = "last"
preload = true
keep = true
lora = { sql = "adapters/sql" }
lora_dir = "adapters"
sampling = { temperature = 0.5, top_p = 1, top_k = 20, min_p = 0.1, repetition_penalty = 1.1 }
[models."org/large"]
path = "../large"
kv_tokens = 8192
)",
                                    "/m", base);
  ASSERT_TRUE(configs.ok()) << configs.status();
  EXPECT_EQ(configs->default_name, "small");
  ASSERT_EQ(configs->models.size(), 2u);
  const auto& models = configs->models;
  const api::ModelConfig& large = models[0].name == "small" ? models[1] : models[0];
  const api::ModelConfig& small = models[0].name == "small" ? models[0] : models[1];
  EXPECT_EQ(small.path, "/m/small.gguf");
  EXPECT_THAT(small.aliases, ElementsAre("gpt-4o-mini", "default"));
  EXPECT_EQ(small.tokenizer, "/m/tok.model");
  EXPECT_EQ(small.chat_template, "/etc/chat.jinja");
  EXPECT_EQ(small.engine.context_max, 4096);
  EXPECT_EQ(small.engine.kv_bytes_max, int64_t{3} << 29);
  EXPECT_EQ(small.engine.kv_dtype, KvDType::kFp8);
  EXPECT_EQ(small.engine.queue_max, 7) << "of the base";
  EXPECT_EQ(small.activations, Activations::kF32);
  EXPECT_EQ(small.pooling, Pooling::kLast);
  EXPECT_TRUE(small.preload);
  EXPECT_TRUE(small.keep);
  EXPECT_THAT(small.adapters, ElementsAre(Pair("sql", "/m/adapters/sql")));
  EXPECT_EQ(small.lora_directory, "/m/adapters");
  EXPECT_EQ(small.sampling.temperature, 0.5);
  EXPECT_EQ(small.sampling.top_p, 1);
  EXPECT_EQ(small.sampling.top_k, 20);
  EXPECT_EQ(small.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(large.name, "org/large");
  EXPECT_EQ(large.path, "/large");
  EXPECT_EQ(large.engine.kv_tokens, 8192);
  EXPECT_FALSE(large.preload);
}

TEST(ModelsFile, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(fault_of(""), HasSubstr("no model"));
  EXPECT_THAT(fault_of("[models.a\n"), HasSubstr("line 1"));
  EXPECT_THAT(fault_of("models = 3"), HasSubstr("models: must be a table"));
  EXPECT_THAT(fault_of("[models]\na = 3"), HasSubstr("models.a must be a table"));
  EXPECT_THAT(fault_of("[models.a]\ncontext = 9"), HasSubstr("models.a.path: is missing"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\nconext = 9"), HasSubstr("models.a.conext: is not"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\ncontext = -9"), HasSubstr("models.a.context: must"));
  EXPECT_THAT(fault_of("[models.a]\npath=3"), HasSubstr("models.a.path: must be a string"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\nkv_dtype='f8'"), HasSubstr("one of auto, f32"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\nkv_memory='lots'"), HasSubstr("kv_memory: must"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\naliases='b'"), HasSubstr("aliases: must"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\nsampling.heat=1"),
              HasSubstr("models.a.sampling.heat: is not"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\nsampling.temperature=3"),
              HasSubstr("models.a.sampling.temperature: must"));
  EXPECT_THAT(fault_of("[models.a]\npath='x'\naliases=['b']\n[models.b]\npath='y'"),
              HasSubstr("two models are called b"));
  EXPECT_THAT(fault_of("default='b'\n[models.a]\npath='x'"), HasSubstr("the default model b"));
  EXPECT_THAT(fault_of("x=1\n[models.a]\npath='x'"), HasSubstr("x: is not a known key"));
}

TEST(ModelsFile, ADirectoryIsAListOfModels) {
  const fs::path root = fs::path(testing::TempDir()) / ("models-" + std::to_string(::getpid()));
  for (const char* path : {"hf", "org/deep", "org/further/down", ".hidden/x", "empty"}) {
    fs::create_directories(root / path);
  }
  for (const char* path : {"tiny.gguf", "hf/config.json", "org/deep/config.json", "org/b.gguf",
                           "org/further/down/config.json", ".hidden/x/config.json", "notes.txt",
                           "wide-00001-of-00002.gguf", "wide-00002-of-00002.gguf"}) {
    std::ofstream(root / path) << "{}";
  }
  const auto configs = api::read_models(root.string(), {});
  ASSERT_TRUE(configs.ok()) << configs.status();
  std::vector<std::string> names;
  for (const auto& model : configs->models) names.push_back(model.name);
  EXPECT_THAT(names, ElementsAre("hf", "org/b", "org/deep", "tiny", "wide"));
  EXPECT_EQ(configs->models[1].path, (root / "org" / "b.gguf").string());
  EXPECT_FALSE(api::read_models((root / "empty").string(), {}).ok());
  EXPECT_FALSE(api::read_models((root / "absent").string(), {}).ok());
  fs::remove_all(root);
}

TEST(ModelsFile, SizesHaveUnits) {
  EXPECT_EQ(*api::parse_bytes("1000"), 1000);
  EXPECT_EQ(*api::parse_bytes("4GiB"), int64_t{4} << 30);
  EXPECT_EQ(*api::parse_bytes("0.5 MiB"), 1 << 19);
  for (const char* wrong : {"", "GiB", "-1", "1 parsec", "1e300", "nan", "99999999TiB"}) {
    EXPECT_FALSE(api::parse_bytes(wrong).ok()) << wrong;
  }
}

// What SIGHUP compares.
TEST(ModelsFile, AnotherTextOrOtherFilesAreAnotherEdition) {
  const fs::path directory = fs::path(testing::TempDir()) / fmt::format("editions-{}", ::getpid());
  fs::create_directories(directory);
  const auto edition = [&](const std::string& toml, const std::string& weights) {
    std::ofstream(directory / "m.toml") << toml;
    std::ofstream(directory / "a.gguf") << weights;
    // Two writes may fall into one tick of the file system's clock.
    fs::last_write_time(directory / "a.gguf",
                        fs::file_time_type(std::chrono::seconds(weights.size())));
    const auto configs = api::read_models(directory / "m.toml", {});
    return configs.ok() ? configs->models.front().edition : configs.status().ToString();
  };
  const std::string text = "[models.a]\npath = 'a.gguf'\ncontext = 64";
  const std::string first = edition(text, "one");
  EXPECT_EQ(edition("# the same\n" + text, "one"), first);
  EXPECT_NE(edition(text + "\nkeep = true", "one"), first);
  EXPECT_NE(edition(text, "three"), first);
  EXPECT_EQ(edition(text, "one"), first);
  fs::remove_all(directory);
}

}  // namespace
}  // namespace brisk
