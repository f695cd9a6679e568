// Checkpoints that carry their quality report.
#include "model/checkpoint/quality_report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/gguf_writer.h"
#include "model/convert/compile.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReport = R"({"model":"x","bytes":1})";

class CarriedReport : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  // A copy of a reference case's checkpoint.
  std::string copy_of(const std::string& checkpoint) {
    const std::string to = path("copy" + fs::path(checkpoint).extension().string());
    fs::copy(BRISK_BINARY_DIR "/reference/" + checkpoint, to, fs::copy_options::recursive);
    return to;
  }

  static std::string report_of(const std::string& file) {
    return std::string(quality_report_of(**open_checkpoint(file)));
  }

  // Whether both have the same tensors to the bit, and the same configuration and tokenizer.
  static void expect_same(const std::string& one, const std::string& other) {
    const auto a = open_checkpoint(one).value(), b = open_checkpoint(other).value();
    ASSERT_EQ(a->tensors.size(), b->tensors.size());
    for (size_t i = 0; i < a->tensors.size(); ++i) {
      EXPECT_EQ(a->tensors[i].name, b->tensors[i].name);
      EXPECT_EQ(a->tensors[i].tensor.shape, b->tensors[i].tensor.shape);
      EXPECT_TRUE(std::ranges::equal(a->tensors[i].tensor.data, b->tensors[i].tensor.data));
    }
    EXPECT_EQ(a->tokenizer.tokens, b->tokenizer.tokens);
    EXPECT_EQ(a->chat_template, b->chat_template);
    Json mine = a->metadata, others = b->metadata;
    for (Json* metadata : {&mine, &others}) {
      metadata->erase(kQualityReportKey);
      if (metadata->contains("safetensors")) (*metadata)["safetensors"].erase(kQualityReportKey);
    }
    EXPECT_EQ(mine, others);
  }

  const fs::path directory_ =
      fs::temp_directory_path() / fmt::format("brisk_quality_report.{}", ::getpid());
};

TEST_F(CarriedReport, IsAttachedToEveryLayoutAndReplaced) {
  for (const char* checkpoint :
       {"llama2/model.gguf", "blocks-mixed/model.gguf", "llama2/hf", "llama2-sharded/hf"}) {
    const std::string file = copy_of(checkpoint);
    EXPECT_EQ(report_of(file), "") << checkpoint;
    ASSERT_TRUE(attach_quality_report(file, R"({"an":"earlier one"})").ok()) << checkpoint;
    const absl::Status attached = attach_quality_report(file, kReport);
    ASSERT_TRUE(attached.ok()) << attached;
    EXPECT_EQ(report_of(file), kReport) << checkpoint;
    expect_same(file, BRISK_BINARY_DIR "/reference/" + std::string(checkpoint));
    fs::remove_all(file);
  }
}

TEST_F(CarriedReport, OtherFilesCannotHaveOne) {
  const std::string file = path("weights.bin");
  std::ofstream(file) << "neither";
  EXPECT_TRUE(absl::IsInvalidArgument(attach_quality_report(file, kReport)));
  EXPECT_TRUE(absl::IsNotFound(attach_quality_report(path("nowhere"), kReport)));
  std::ofstream(file) << "GGUF and nonsense";
  EXPECT_FALSE(attach_quality_report(file, kReport).ok());
}

// Rewriting the first part alone would make it a model without the others' tensors.
TEST_F(CarriedReport, AModelInPartsStaysWhatItIs) {
  GgufHeader header;
  header.u32("split.count", 2);
  const std::string file = path("model-00001-of-00002.gguf");
  auto writer = create_gguf(file, header, {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->finish().ok());
  const std::string before = read_file(file, 1 << 20).value();
  const absl::Status refused = attach_quality_report(file, kReport);
  EXPECT_TRUE(absl::IsUnimplemented(refused)) << refused;
  EXPECT_EQ(read_file(file, 1 << 20).value(), before);
}

// A report in a place where a string is expected.
TEST_F(CarriedReport, WhatIsNoTextIsNone) {
  Checkpoint checkpoint;
  checkpoint.metadata[kQualityReportKey] = 7;
  EXPECT_EQ(quality_report_of(checkpoint), "");
  checkpoint.config.layout = Layout::kHuggingFace;
  EXPECT_EQ(quality_report_of(checkpoint), "");
  checkpoint.config.layout = Layout::kLlama2c;
  checkpoint.metadata = Json();
  EXPECT_EQ(quality_report_of(checkpoint), "");
}

TEST_F(CarriedReport, GoesAlongWhereEveryWeightKeepsItsValue) {
  const std::string file = copy_of("llama2/model.gguf");
  ASSERT_TRUE(attach_quality_report(file, kReport).ok());
  // f32 stays f32, in another layout and order; q8_0 is not f32.
  for (const char* out : {"same.gguf", "directory"}) {
    const auto result = convert_checkpoint(file, path(out), {});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->report_kept) << out;
    EXPECT_FALSE(result->report_dropped) << out;
    EXPECT_EQ(report_of(path(out)), kReport) << out;
  }
  ConvertOptions options;
  options.dtype = "f16";
  const auto changed = convert_checkpoint(path("directory"), path("f16.gguf"), options);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_FALSE(changed->report_kept);
  EXPECT_TRUE(changed->report_dropped);
  EXPECT_EQ(report_of(path("f16.gguf")), "");
}

TEST_F(CarriedReport, GoesAlongWithQuantisedWeightsThatAreCopied) {
  const std::string file = copy_of("blocks-q8_0/model.gguf");
  ASSERT_TRUE(attach_quality_report(file, kReport).ok());
  const auto copied = convert_checkpoint(file, path("same.gguf"), {});
  ASSERT_TRUE(copied.ok()) << copied.status();
  EXPECT_TRUE(copied->report_kept);
  EXPECT_EQ(report_of(path("same.gguf")), kReport);
  const auto compiled = compile_checkpoint(file, path("compiled.gguf"), {});
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ(report_of(path("compiled.gguf")), kReport) << "the same model, bit for bit";
  const auto decoded = convert_checkpoint(file, path("directory"), {});
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(decoded->report_dropped) << "q8_0 became f16";
}

TEST_F(CarriedReport, NothingIsSaidWhereThereWasNone) {
  const auto result =
      convert_checkpoint(BRISK_BINARY_DIR "/reference/llama2/model.gguf", path("same.gguf"), {});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->report_kept);
  EXPECT_FALSE(result->report_dropped);
}

}  // namespace
}  // namespace brisk
