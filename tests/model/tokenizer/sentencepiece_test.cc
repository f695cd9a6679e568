// Held against Google's library: on real models, and on models that the library trains here with
// every feature there is.
#include "base/rng.h"
#include "model/tokenizer/utf8.h"
#include "tests/model/tokenizer/sentencepiece_oracle.h"
#include "tests/model/tokenizer/test_tokenizers.h"

namespace brisk {
namespace {

// Lines of the texts that lie in the test data, at most `lines_max` of each.
std::vector<std::string> lines_of_texts(size_t lines_max) {
  std::vector<std::string> lines;
  for (const char* name : {"frankenstein.txt", "tinyshakespeare.txt", "wikitext2-valid.txt"}) {
    std::ifstream file(data_path(std::string("text/") + name), std::ios::binary);
    std::string line;
    for (size_t i = 0; i < lines_max && std::getline(file, line); ++i) lines.push_back(line);
  }
  return lines;
}

// Texts of valid UTF-8 in which spaces, digits and scripts follow each other in odd ways.
std::vector<std::string> odd_texts() {
  Rng rng(6);
  std::vector<std::string> texts = multilingual_texts();
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (uint64_t j = rng.next_below(24); j > 0; --j) {
      switch (rng.next_below(5)) {
        case 0:
          text += ' ';
          break;
        case 1:
          utf8_append(0xA0 + static_cast<uint32_t>(rng.next_below(0x500)), &text);
          break;
        case 2:
          utf8_append(0x3000 + static_cast<uint32_t>(rng.next_below(0x400)), &text);
          break;
        case 3:
          utf8_append(0xFF00 + static_cast<uint32_t>(rng.next_below(0x70)), &text);
          break;
        default:
          text += "etaoinshrdlu"[rng.next_below(12)];
      }
    }
    texts.push_back(text);
  }
  return texts;
}

// Loads `model` here and there, and compares ids and decoded text.
void expect_agreement(const std::string& model, const std::vector<std::string>& texts) {
  const auto oracle = SentencePieceOracle::load(model);
  if (oracle == nullptr) GTEST_SKIP() << "libsentencepiece is not installed";
  const auto tokenizer = tokenizer_of(read_tokenizer_bytes(model));
  ASSERT_NE(tokenizer, nullptr);
  for (const std::string& text : texts) {
    const std::vector<int> expected = oracle->encode(text);
    const std::vector<int32_t> ids = tokenizer->encode(text, kPlain);
    ASSERT_EQ(ids, expected) << '"' << text << '"';
    ASSERT_EQ(tokenizer->decode(ids, false), oracle->decode(expected)) << '"' << text << '"';
  }
}

class RealModel : public testing::TestWithParam<const char*> {};

TEST_P(RealModel, AgreesWithTheLibrary) {
  if (!has_data(GetParam())) GTEST_SKIP() << "no " << data_path(GetParam());
  std::vector<std::string> texts = odd_texts();
  for (std::string& line : lines_of_texts(100'000)) texts.push_back(std::move(line));
  expect_agreement(contents_of(data_path(GetParam())), texts);
}

INSTANTIATE_TEST_SUITE_P(Files, RealModel,
                         testing::Values("models/stories260K/tok512.model",
                                         "tokenizers/llama2/tokenizer.model"));

class TrainedModel : public testing::TestWithParam<const char*> {};

TEST_P(TrainedModel, AgreesWithTheLibrary) {
  std::vector<std::string> sentences = lines_of_texts(1500);
  if (sentences.empty()) GTEST_SKIP() << "no texts to train on in " << BRISK_DATA_DIR;
  for (const std::string& text : multilingual_texts()) {
    for (int i = 0; i < 3; ++i) sentences.push_back(text);
  }
  const std::string model = train_sentencepiece(
      std::string("--num_threads=1 --hard_vocab_limit=false ") + GetParam(), sentences);
  if (model.empty()) GTEST_SKIP() << "libsentencepiece is not installed";
  std::vector<std::string> texts = odd_texts();
  for (std::string& line : lines_of_texts(500)) texts.push_back(std::move(line));
  for (const char* text : {"a<sep>b <cls> c", "<sep><sep>", " <s> </s> <unk> <0x41>", "new york",
                           "in new york city  <sep> "}) {
    texts.emplace_back(text);
  }
  expect_agreement(model, texts);
}

INSTANTIATE_TEST_SUITE_P(
    Settings, TrainedModel,
    testing::Values("--model_type=bpe --vocab_size=1200",
                    "--model_type=bpe --vocab_size=1500 --byte_fallback=true "
                    "--normalization_rule_name=identity",
                    "--model_type=bpe --vocab_size=900 --normalization_rule_name=nmt_nfkc_cf "
                    "--user_defined_symbols=<sep>,york",
                    "--model_type=bpe --vocab_size=1200 --add_dummy_prefix=false "
                    "--remove_extra_whitespaces=false --split_digits=true --control_symbols=<cls>",
                    "--model_type=unigram --vocab_size=1200",
                    "--model_type=unigram --vocab_size=1500 --byte_fallback=true "
                    "--normalization_rule_name=identity --remove_extra_whitespaces=false",
                    "--model_type=unigram --vocab_size=900 --normalization_rule_name=nfkc "
                    "--control_symbols=<cls> --allow_whitespace_only_pieces=true"));

// The same vocabulary from three files. tok512.model removes extra spaces and the other two do not,
// so the texts have none.
TEST(Stories260K, TokenizerFilesAgree) {
  const std::string directory = "models/stories260K/";
  if (!has_data(directory)) GTEST_SKIP() << "no " << data_path(directory);
  const auto model = open_tokenizer(directory + "tok512.model");
  const auto bin = open_tokenizer(directory + "tok512.bin");
  const auto gguf = open_gguf_tokenizer(directory + "stories260Ktok512.gguf");
  ASSERT_TRUE(model != nullptr && bin != nullptr && gguf != nullptr);
  size_t compared = 0;
  for (const std::string& text : lines_of_texts(20'000)) {
    const std::vector<int32_t> ids = bin->encode(text, {});
    ASSERT_EQ(gguf->encode(text, {}), ids) << text;
    if (text.find("  ") != text.npos || text.starts_with(' ') || text.ends_with(' ')) continue;
    ASSERT_EQ(model->encode(text, {}), ids) << text;
    ++compared;
  }
  EXPECT_GT(compared, 10'000U);
  EXPECT_EQ(bin->rules().bos, 1);
  EXPECT_EQ(bin->encode("", {}), std::vector<int32_t>{1});
}

}  // namespace
}  // namespace brisk
