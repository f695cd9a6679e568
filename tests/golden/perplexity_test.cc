// Perplexity of a real model against the float64 reference's figures
// (tests/reference/stories260K-perplexity.json, made by perplexity.py).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/json.h"
#include "compress/evaluate/documents.h"
#include "compress/evaluate/quality.h"
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
  const auto report = measure_quality(**model, nullptr, *documents, {});
  ASSERT_TRUE(report.ok()) << report.status();
  const TextQuality& found = *report->text;
  EXPECT_EQ(found.tokens, recorded["tokens"].get<int64_t>());
  EXPECT_EQ(found.bytes, recorded["bytes"].get<int64_t>());
  EXPECT_EQ(found.windows, recorded["windows"].get<int64_t>());
  EXPECT_NEAR(found.perplexity.value, recorded["perplexity"].get<double>(), 2e-5);
  EXPECT_NEAR(found.nats_per_byte(), recorded["nats_per_byte"].get<double>(), 2e-6);
}

}  // namespace
}  // namespace brisk
