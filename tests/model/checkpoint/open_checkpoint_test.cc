// Checkpoints that lie on disk: directories, shards, files that are something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/status.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/model/checkpoint/bytes_builder.h"

namespace brisk {
namespace {

using ::brisk::testing::BytesBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OpenCheckpoint : public ::testing::Test {
 protected:
  OpenCheckpoint() {
    directory_ = std::filesystem::temp_directory_path() /
                 ("brisk_open_checkpoint_test." + std::to_string(::getpid()));
    std::filesystem::create_directories(directory_);
  }
  ~OpenCheckpoint() override { std::filesystem::remove_all(directory_); }

  std::string path(std::string_view name) const { return (directory_ / name).string(); }

  void write(std::string_view name, std::string_view contents) const {
    std::ofstream(path(name), std::ios::binary) << contents;
  }

  // One f32 tensor of one value.
  void write_tensor(std::string_view file, std::string_view tensor) const {
    const std::string header =
        "{\"" + std::string(tensor) + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    BytesBuilder bytes;
    bytes.put<uint64_t>(header.size()).raw(header).put(1.0f);
    write(file, bytes.text());
  }

  std::string error() const {
    const auto checkpoint = open_checkpoint(directory_.string());
    return checkpoint.ok() ? "" : std::string(message_of(checkpoint.status()));
  }

  std::filesystem::path directory_;
};

constexpr std::string_view kConfig = R"({"model_type":"llama","vocab_size":3,"eos_token_id":2})";

TEST_F(OpenCheckpoint, ReadsADirectoryWithOneFile) {
  write("config.json", kConfig);
  write("generation_config.json", R"({"temperature":0.7})");
  write("tokenizer_config.json", R"({"chat_template":[{"name":"rag","template":"no"},
    {"name":"default","template":"yes"}]})");
  write_tensor("model.safetensors", "w");
  const auto checkpoint = open_checkpoint(directory_.string());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->config.architecture, "llama");
  EXPECT_EQ((*checkpoint)->generation.temperature, 0.7);
  EXPECT_EQ((*checkpoint)->chat_template, "yes");
  EXPECT_EQ((*checkpoint)->tokenizer.kind, TokenizerKind::kNone);
  EXPECT_THAT((*checkpoint)->config.eos_tokens, ElementsAre(2));
  ASSERT_NE((*checkpoint)->find("w"), nullptr);
  write("chat_template.jinja", "newer");
  EXPECT_EQ((*open_checkpoint(directory_.string()))->chat_template, "newer");
}

TEST_F(OpenCheckpoint, ReadsShards) {
  write("config.json", kConfig);
  write("model.safetensors.index.json", R"({"weight_map":{"a":"1.safetensors",
    "b":"2.safetensors"}})");
  write_tensor("1.safetensors", "a");
  write_tensor("2.safetensors", "b");
  const auto checkpoint = open_checkpoint(directory_.string());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_NE((*checkpoint)->find("a"), nullptr);
  EXPECT_NE((*checkpoint)->find("b"), nullptr);
  std::filesystem::remove(path("2.safetensors"));
  EXPECT_THAT(error(), HasSubstr("2.safetensors: no such file"));
  write_tensor("2.safetensors", "c");
  EXPECT_THAT(error(), HasSubstr("tensor \"b\" of the index is not in this file"));
}

TEST_F(OpenCheckpoint, RefusesIndexesThatLeadElsewhere) {
  write("config.json", kConfig);
  for (const char* shard : {"\"../x.safetensors\"", "\"/etc/passwd\"", "\"\"", "7"}) {
    write("model.safetensors.index.json", std::string(R"({"weight_map":{"a":)") + shard + "}}");
    EXPECT_THAT(error(), HasSubstr("not a file name")) << shard;
  }
  write("model.safetensors.index.json", "{}");
  EXPECT_THAT(error(), HasSubstr("no \"weight_map\""));
}

TEST_F(OpenCheckpoint, SaysWhatIsMissing) {
  EXPECT_THAT(error(), HasSubstr("no config.json"));
  write("config.json", kConfig);
  EXPECT_THAT(error(), HasSubstr("neither model.safetensors nor"));
  write("config.json", "{");
  EXPECT_THAT(error(), HasSubstr("config.json: not valid JSON"));
}

TEST_F(OpenCheckpoint, OpensASafetensorsFileAlone) {
  write_tensor("adapter.safetensors", "w");
  const auto checkpoint = open_checkpoint(path("adapter.safetensors"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->config.architecture, "");
  EXPECT_NE((*checkpoint)->find("w"), nullptr);
}

TEST_F(OpenCheckpoint, RefusesOtherFiles) {
  write("notes.txt", "This is not a model, and never was one.");
  for (const char* name : {"notes.txt", "absent.gguf"}) {
    const auto checkpoint = open_checkpoint(path(name));
    ASSERT_FALSE(checkpoint.ok());
    EXPECT_THAT(std::string(message_of(checkpoint.status())), HasSubstr(name));
  }
}

}  // namespace
}  // namespace brisk
