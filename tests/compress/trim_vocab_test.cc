#include "compress/trim/trim_vocab.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "base/status.h"
#include "model/model.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

const std::string kBpe = BRISK_SOURCE_DIR "/models/brisk-small";
const std::string kSentencePiece = BRISK_DATA_DIR "/models/stories260K/stories260Ktok512.gguf";
const std::vector<std::string> kTexts = {"Once upon a time there was a little dog.",
                                         "The dog ran home, and all was well again."};

class TrimVocab : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!fs::exists(GetParam())) GTEST_SKIP() << "needs " << GetParam();
    directory_ = fs::temp_directory_path() / fmt::format("brisk-trim-{}", ::getpid());
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  // As a file and as a directory.
  std::vector<std::shared_ptr<const Model>> trimmed() const {
    std::vector<std::shared_ptr<const Model>> models;
    for (const char* name : {"small.gguf", "small"}) {
      const auto result = trim_vocab(GetParam(), directory_ / name, kTexts, "");
      EXPECT_TRUE(result.ok()) << result.status();
      EXPECT_LT(result->tokens, result->tokens_before);
      models.push_back(load_model(directory_ / name).value());
    }
    return models;
  }

  fs::path directory_;
};

TEST_P(TrimVocab, CutsTheCorpusAsBeforeAndOtherTextsSomehow) {
  const auto before = load_model(GetParam()).value();
  for (const auto& model : trimmed()) {
    EXPECT_EQ(model->tokenizer->vocab_size(), model->spec.vocab_size);
    for (const std::string& text : kTexts) {
      std::vector<std::string> pieces[2];
      for (const bool after : {false, true}) {
        const Tokenizer& tokenizer = after ? *model->tokenizer : *before->tokenizer;
        for (const int32_t token : tokenizer.encode(text, {.add_special = true})) {
          pieces[after].push_back(tokenizer.decode_token(token, /*special=*/true));
        }
      }
      EXPECT_EQ(pieces[1], pieces[0]);
    }
    const std::string other = "Quantum flux, \xC3\xA9t\xC3\xA9 & 日本語: 42!";
    const std::vector<int32_t> tokens = model->tokenizer->encode(other, {.add_special = false});
    EXPECT_EQ(model->tokenizer->decode(tokens, false), other);
    EXPECT_EQ(model->tokenizer->rules().end_of_generation.size(),
              before->tokenizer->rules().end_of_generation.size());
  }
}

TEST_P(TrimVocab, KeptTokensHaveTheLogitsTheyHad) {
  LoadOptions exact;
  exact.activations = Activations::kF32;
  const auto before = load_model(GetParam(), exact).value();
  // In the layout it had: another rotates other pairs, and sums in another order.
  const fs::path out = directory_ / (GetParam() == kBpe ? "small" : "small.gguf");
  ASSERT_TRUE(trim_vocab(GetParam(), out, kTexts, "").ok());
  const auto after = load_model(out, exact).value();
  const std::vector<int32_t> kept =
      tokens_to_keep(before->checkpoint->tokenizer, *before->tokenizer, kTexts);
  const auto logits = [](const Model& model) {
    DecoderHarness harness(model, {});
    return harness.feed(model.tokenizer->encode(kTexts[0], {.add_special = true}));
  };
  const std::vector<float> all = logits(*before), some = logits(*after);
  const auto width = static_cast<size_t>(before->spec.vocab_size);
  for (size_t row = 0; row < some.size() / kept.size(); ++row) {
    for (size_t i = 0; i < kept.size(); ++i) {
      ASSERT_EQ(some[row * kept.size() + i], all[row * width + static_cast<size_t>(kept[i])]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TrimVocab, testing::Values(kBpe, kSentencePiece),
                         [](const auto& test) {
                           return test.param == kBpe ? "byte_level_bpe" : "sentencepiece";
                         });

TEST(TrimVocabErrors, NeedATextAndATokenizer) {
  EXPECT_EQ(trim_vocab(kBpe, "/nowhere/x.gguf", {}, "").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace brisk
