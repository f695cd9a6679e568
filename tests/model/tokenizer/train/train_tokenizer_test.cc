#include "model/tokenizer/train/train_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/rng.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/template/chat_template.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/read_tokenizer.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/train/sentencepiece_trainer.h"

namespace brisk {
namespace {

constexpr EncodeOptions kPlain = {.add_special = false, .parse_special = false};

// A directory of its own for every test.
class TrainTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/train_tokenizer_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& contents) const {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(write_file_atomically(path, contents).ok());
    return path;
  }

  // Sentences of a few words, with numbers, capitals and what is not ASCII.
  static std::string sentences(uint64_t seed, int count) {
    static constexpr const char* kWords[] = {"the",   "fox",         "Anna", "runs",        "12",
                                             "it's",  "caf\xC3\xA9", "and",  "to",          "river",
                                             "sings", "7",           "!?",   "\xE2\x86\x92"};
    Rng rng(seed);
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += kWords[rng.next_below(std::size(kWords))];
      text += rng.next_below(9) == 0 ? ".\n" : " ";
    }
    return text;
  }

  std::unique_ptr<const Tokenizer> open(const TrainedTokenizer& trained) const {
    write("tokenizer.json", trained.tokenizer_json);
    write("tokenizer_config.json", trained.tokenizer_config);
    return Tokenizer::create(read_tokenizer(directory_).value()).value();
  }

  std::string error_of(TokenizerTraining training) const {
    const auto trained = train_tokenizer(training);
    return trained.ok() ? "" : std::string(message_of(trained.status()));
  }

  std::string directory_;
};

TEST_F(TrainTokenizer, WritesWhatOurReaderReadsAndSpellsEverythingBack) {
  const std::string corpus = write("corpus.txt", sentences(1, 4000));
  const auto trained = train_tokenizer({.corpora = {corpus}, .vocab_size = 300});
  ASSERT_TRUE(trained.ok()) << trained.status();
  const auto tokenizer = open(*trained);
  EXPECT_EQ(tokenizer->vocab_size(), 300);
  EXPECT_EQ(tokenizer->find("<|endoftext|>"), 297);
  EXPECT_EQ(tokenizer->find("<|im_start|>"), 298);
  EXPECT_EQ(tokenizer->find("<|im_end|>"), 299);
  EXPECT_EQ(tokenizer->rules().eos, 299);
  EXPECT_EQ(tokenizer->rules().bos, -1);
  EXPECT_TRUE(tokenizer->ends_generation(299));
  Rng rng(5);
  for (int i = 0; i < 300; ++i) {
    std::string text = sentences(100 + static_cast<uint64_t>(i), 1 + i % 40);
    for (int b = 0; b < 5; ++b) {
      text.insert(rng.next_below(text.size() + 1), 1, static_cast<char>(rng.next_below(128)));
    }
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, kPlain), false), text);
  }
  const std::vector<int32_t> ids = tokenizer->encode("<|im_start|>user\nhi<|im_end|>",
                                                     {.add_special = true, .parse_special = true});
  EXPECT_EQ(ids.front(), 298);
  EXPECT_EQ(ids.back(), 299);
}

// Merges words one pair at a time, lowest rank first, straight from the lists in the file.
std::vector<int32_t> encode_word(const Json& model, const std::string& word) {
  std::vector<std::string> parts;
  for (const char c : word) parts.push_back(printable_of_bytes({&c, 1}));
  while (true) {
    size_t best_rank = model["merges"].size();
    size_t best_at = 0;
    for (size_t at = 0; at + 1 < parts.size(); ++at) {
      const std::string pair = parts[at] + ' ' + parts[at + 1];
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (model["merges"][rank] == pair) {
          best_rank = rank;
          best_at = at;
        }
      }
    }
    if (best_rank == model["merges"].size()) break;
    parts[best_at] += parts[best_at + 1];
    parts.erase(parts.begin() + static_cast<long>(best_at) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& part : parts) ids.push_back(model["vocab"][part].get<int32_t>());
  return ids;
}

TEST_F(TrainTokenizer, EncodesWordsAsTheFilesMergesSay) {
  const std::string corpus = write("corpus.txt", sentences(2, 4000));
  const auto trained = train_tokenizer({.corpora = {corpus}, .vocab_size = 305});
  ASSERT_TRUE(trained.ok()) << trained.status();
  const auto tokenizer = open(*trained);
  const Json model = parse_json(trained->tokenizer_json).value()["model"];
  for (const char* word :
       {" fox", " river", "Anna", " sings", "theriver", "caf\xC3\xA9", "foxfox"}) {
    EXPECT_EQ(tokenizer->encode(word, kPlain), encode_word(model, word)) << word;
  }
}

TEST_F(TrainTokenizer, CountsTheTokensThatEncodingGives) {
  const std::string text = sentences(3, 3000);
  const auto trained = train_tokenizer({.corpora = {write("corpus.txt", text)}, .vocab_size = 290});
  ASSERT_TRUE(trained.ok()) << trained.status();
  EXPECT_EQ(trained->bytes, static_cast<int64_t>(text.size()));
  EXPECT_EQ(trained->tokens, static_cast<int64_t>(open(*trained)->encode(text, kPlain).size()));
}

TEST_F(TrainTokenizer, CutsDigitsOneByOne) {
  std::string numbers;
  for (int i = 0; i < 500; ++i) numbers += "2024 word ";
  const auto trained =
      train_tokenizer({.corpora = {write("corpus.txt", numbers)}, .vocab_size = 262});
  ASSERT_TRUE(trained.ok()) << trained.status();
  const auto ids = open(*trained)->encode("2024", kPlain);
  EXPECT_EQ(ids, (std::vector<int32_t>{'2', '0', '2', '4'}));
}

TEST_F(TrainTokenizer, GivesTheSameFilesEveryTime) {
  const std::string corpus = write("corpus.txt", sentences(4, 3000));
  const TokenizerTraining training = {.corpora = {corpus}, .vocab_size = 300};
  const auto first = train_tokenizer(training);
  const auto second = train_tokenizer(training);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->tokenizer_json, second->tokenizer_json);
  EXPECT_EQ(first->tokenizer_config, second->tokenizer_config);
}

TEST_F(TrainTokenizer, ReadsTextsAndConversations) {
  const std::string lines =
      "{\"text\":\"abab abab\"}\n\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"abab\"},{\"content\":\"cdcd\"}]}\n";
  const auto trained =
      train_tokenizer({.corpora = {write("corpus.jsonl", lines)}, .vocab_size = 260});
  ASSERT_TRUE(trained.ok()) << trained.status();
  EXPECT_EQ(trained->bytes, 9 + 4 + 4);
  EXPECT_EQ(trained->texts, 3);
}

TEST_F(TrainTokenizer, RefusesLinesThatAreNoTexts) {
  for (const char* line : {"{", "[]", "{}", "{\"text\":1}", "{\"messages\":[{\"role\":\"user\"}]}",
                           "{\"messages\":3}"}) {
    const std::string path = write("corpus.jsonl", "{\"text\":\"a\"}\n" + std::string(line) + '\n');
    EXPECT_NE(error_of({.corpora = {path}}).find("line 2"), std::string::npos) << line;
  }
}

TEST_F(TrainTokenizer, SaysWhenThereIsNothingToLearnFrom) {
  EXPECT_NE(error_of({.corpora = {write("empty.txt", "")}}), "");
  EXPECT_NE(error_of({.corpora = {write("empty.jsonl", "\n\n")}}).find("no text"),
            std::string::npos);
  EXPECT_NE(error_of({.corpora = {write("blank.jsonl", "{\"text\":\"\"}\n")}}).find("no text"),
            std::string::npos);
  EXPECT_NE(error_of({.corpora = {directory_ + "/absent.txt"}}), "");
}

TEST_F(TrainTokenizer, SaysTheLargestVocabularyThatTheCorpusAllows) {
  const std::string line = write("line.txt", "a rose is a rose is a rose");
  TokenizerTraining training = {.corpora = {line}, .vocab_size = 2048};
  const std::string error = error_of(training);
  const size_t at = error.find("at most ");
  ASSERT_NE(at, std::string::npos) << error;
  training.vocab_size = std::stoi(error.substr(at + 8));
  EXPECT_EQ(error_of(training), "") << "the size that was proposed works";
  ++training.vocab_size;
  EXPECT_NE(error_of(training), "");
}

TEST_F(TrainTokenizer, RefusesVocabulariesBelowTheBytesAndBadSpecialTokens) {
  const std::string corpus = write("corpus.txt", sentences(6, 500));
  EXPECT_NE(error_of({.corpora = {corpus}, .vocab_size = 258}).find("259"), std::string::npos);
  EXPECT_NE(error_of({.corpora = {corpus}, .vocab_size = -5}), "");
  EXPECT_EQ(error_of({.corpora = {corpus}, .vocab_size = 259}), "");
  EXPECT_EQ(error_of({.corpora = {corpus}, .vocab_size = 256, .special = {}}), "");
  EXPECT_NE(error_of({.corpora = {corpus}, .vocab_size = 300, .special = {""}}), "");
  EXPECT_NE(error_of({.corpora = {corpus}, .vocab_size = 300, .special = {"<a>", "<a>"}}), "");
  EXPECT_NE(error_of({.corpora = {corpus}, .vocab_size = 300, .special = {"<\xFF>"}}), "");
}

TEST(TokenizerConfig, ItsTemplateListsToolsAsTheTaskGeneratorDoes) {
  const Json config =
      parse_json(make_tokenizer_config({"<|endoftext|>", "<|im_start|>", "<|im_end|>"})).value();
  EXPECT_EQ(config["eos_token"], "<|im_end|>");
  const auto chat = ChatTemplate::parse(config["chat_template"].get<std::string>()).value();
  ChatInput input;
  input.messages = OrderedJson::parse(R"([{"role":"user","content":"Hi"}])");
  EXPECT_EQ(chat->render(template_variables(input).value()).value(),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  input.tools = OrderedJson::parse(
      R"([{"type":"function","function":{"name":"paint","parameters":{"type":"object",
          "properties":{"object":{"type":"string"},"colour":{"type":"string"}}}}}])");
  input.messages = OrderedJson::parse(
      R"([{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"},
          {"role":"assistant","content":null,"tool_calls":[{"function":{"name":"paint",
           "arguments":{"object":"hat"}}}]}])");
  input.add_generation_prompt = false;
  EXPECT_EQ(chat->render(template_variables(input).value()).value(),
            "<|im_start|>system\nBe kind.\n\nTools:\npaint(object, colour)<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n<tool_call>{\"name\": \"paint\", \"arguments\": "
            "{\"object\": \"hat\"}}</tool_call><|im_end|>\n");
}

TEST(TokenizerConfig, WithoutTurnTokensThereIsNoTemplate) {
  const Json config = parse_json(make_tokenizer_config({"<eos>"})).value();
  EXPECT_EQ(config["eos_token"], "<eos>");
  EXPECT_FALSE(config.contains("chat_template"));
}

TEST_F(TrainTokenizer, SaysWhenSentencePieceIsMissing) {
  const std::string corpus = write("corpus.txt", sentences(7, 2000));
  const absl::Status status = run_sentencepiece_trainer(
      {.corpora = {corpus}, .vocab_size = 300, .special = {"<|x|>"}, .directory = directory_});
  if (absl::IsNotFound(status)) {
    EXPECT_NE(message_of(status).find("spm_train is not installed"), std::string::npos);
    return;
  }
  ASSERT_TRUE(status.ok()) << status;
  const auto data = read_tokenizer(directory_ + "/tokenizer.model");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->tokens.size(), 300u);
}

}  // namespace
}  // namespace brisk
