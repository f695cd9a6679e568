// Perplexity of a real model against the float64 reference's figures
// (tests/reference/stories260K-perplexity.json, made by perplexity.py).
#include "compress/evaluate/perplexity.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/json.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

TEST(Perplexity, EqualsTheReferenceToFourDigitsAndMore) {
  const std::string models = BRISK_DATA_DIR "/models/stories260K/";
  const std::string text = BRISK_DATA_DIR "/text/tinystories-500.jsonl";
  if (!std::filesystem::exists(text)) GTEST_SKIP() << "no shared data here";
  const Json recorded =
      parse_json(read_file(BRISK_SOURCE_DIR "/tests/reference/stories260K-perplexity.json", 1 << 16)
                     .value())
          .value()["first_10"];
  const auto model =
      load_model(models + "stories260K.bin",
                 {.tokenizer_path = models + "tok512.model", .activations = Activations::kF32});
  ASSERT_TRUE(model.ok()) << model.status();
  auto documents = read_documents(text);
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 500u);
  documents->resize(10);
  const auto report = measure_perplexity(**model, *documents, {}, [](int64_t) {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->tokens, recorded["tokens"].get<int64_t>());
  EXPECT_EQ(report->bytes, recorded["bytes"].get<int64_t>());
  EXPECT_EQ(report->windows, recorded["windows"].get<int64_t>());
  EXPECT_NEAR(report->perplexity(), recorded["perplexity"].get<double>(), 2e-5);
  EXPECT_NEAR(report->nats_per_byte(), recorded["nats_per_byte"].get<double>(), 2e-6);
}

TEST(ReadDocuments, NamesTheLineThatIsWrong) {
  const std::string path = testing::TempDir() + "/documents.jsonl";
  ASSERT_TRUE(write_file_atomically(path, "{\"text\":\"a\"}\n\n{\"txt\":\"b\"}\n").ok());
  const auto documents = read_documents(path);
  ASSERT_FALSE(documents.ok());
  EXPECT_NE(documents.status().ToString().find("line 3"), std::string::npos);
}

}  // namespace
}  // namespace brisk
