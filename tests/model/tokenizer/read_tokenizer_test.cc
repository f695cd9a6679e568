// Files that are wrong in every way, and what lies beside a file.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>

#include "tests/model/tokenizer/test_tokenizers.h"

namespace brisk {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

// A directory of files that goes away with the test.
class Directory {
 public:
  Directory() {
    path_ = std::filesystem::temp_directory_path() / fmt::format("brisk-tokenizer-{}", ::getpid());
    std::filesystem::create_directories(path_);
  }
  ~Directory() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_.string(); }
  std::string add(const std::string& name, const std::string& contents) const {
    std::ofstream(path_ / name, std::ios::binary) << contents;
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

std::string error_of(const absl::StatusOr<TokenizerData>& data) {
  return data.ok() ? "" : std::string(message_of(data.status()));
}

// Encoding with whatever was read must work too.
void use(absl::StatusOr<TokenizerData> data) {
  if (!data.ok()) {
    EXPECT_FALSE(message_of(data.status()).empty());
    return;
  }
  const auto tokenizer = Tokenizer::create(std::move(*data));
  if (!tokenizer.ok()) return;
  const std::vector<int32_t> ids = (*tokenizer)->encode("Once upon a \xFF time", {});
  (*tokenizer)->decode(ids, true);
}

TEST(ReadTokenizer, SurvivesEveryTruncation) {
  for (const char* name : {"models/stories260K/tok512.bin", "models/stories260K/tok512.model"}) {
    if (!has_data(name)) GTEST_SKIP() << "no " << data_path(name);
    const std::string bytes = contents_of(data_path(name));
    for (size_t size = 0; size < bytes.size(); ++size) {
      use(read_tokenizer_bytes(std::string_view(bytes).substr(0, size)));
    }
  }
}

TEST(ReadTokenizer, SurvivesEveryFlippedByte) {
  for (const char* name : {"models/stories260K/tok512.bin", "models/stories260K/tok512.model"}) {
    if (!has_data(name)) GTEST_SKIP() << "no " << data_path(name);
    std::string bytes = contents_of(data_path(name));
    for (size_t i = 0; i < bytes.size(); ++i) {
      const char was = bytes[i];
      for (const char now : {'\xFF', '\x00', static_cast<char>(was ^ 0x80)}) {
        bytes[i] = now;
        use(read_tokenizer_bytes(bytes));
      }
      bytes[i] = was;
    }
  }
}

constexpr char kSmallJson[] =
    R"json({"added_tokens": [], "pre_tokenizer": {"type": "ByteLevel"}, "model":
    {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})json";

TEST(ReadTokenizer, RefusesEveryTruncationOfJson) {
  const std::string json = kSmallJson;
  EXPECT_TRUE(read_tokenizer_bytes(json).ok());
  for (size_t size = 0; size < json.size(); ++size) {
    EXPECT_FALSE(read_tokenizer_bytes(std::string_view(json).substr(0, size)).ok()) << size;
  }
}

TEST(ReadTokenizer, RefusesBadTiktokenLines) {
  EXPECT_THAT(error_of(read_tokenizer_bytes("IQ== 0\nIg== 2\n")), HasSubstr("order"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("IQ== 0\nIg= 1\n")), HasSubstr("line 2"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("IQ== 0\nIg== 1x\n")), HasSubstr("line 2"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("IQ== 0\nIg==\n")), HasSubstr("line 2"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("IQ== 0\nIg== 99999999999\n")), HasSubstr("line 2"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("IQ== 0\nIg== 1\n")), HasSubstr("2 ranks"));
}

TEST(ReadTokenizer, RefusesBadSentencePieceModels) {
  const auto piece = [](const std::string& text, int type) {
    const std::string message =
        "\x0A"s + static_cast<char>(text.size()) + text + "\x18" + static_cast<char>(type);
    return "\x0A"s + static_cast<char>(message.size()) + message;
  };
  const std::string good = piece("<unk>", 2) + piece("a", 1);
  EXPECT_TRUE(read_tokenizer_bytes(good).ok());
  EXPECT_THAT(error_of(read_tokenizer_bytes(good + piece("b", 9))), HasSubstr("piece type"));
  EXPECT_THAT(error_of(read_tokenizer_bytes(good + "\x0A\x02\x0A\x7F"s)), HasSubstr("piece"));
  EXPECT_THAT(error_of(read_tokenizer_bytes(good + "\x0A\xFF\xFF\xFF\xFF\x0F"s)),
              HasSubstr("fields"));
  EXPECT_THAT(error_of(read_tokenizer_bytes(good + "\x12\x02\x18\x04"s)), HasSubstr("type 4"));
  EXPECT_THAT(error_of(read_tokenizer_bytes(good + "\x12\x03\xC0\x01\x01"s)),
              HasSubstr("behind words"));
  // A normalisation table whose trie is larger than the table.
  const auto broken = read_tokenizer_bytes(good +
                                           "\x1A\x0A\x12\x08\xFF\xFF\x00\x00"
                                           "abcd"s);
  ASSERT_TRUE(broken.ok());
  EXPECT_FALSE(Tokenizer::create(*broken).ok());
}

TEST(ReadTokenizer, RefusesWhatIsNoTokenizer) {
  EXPECT_THAT(error_of(read_tokenizer_bytes("")), HasSubstr("not a tokenizer"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("Once upon a time")), HasSubstr("not a tokenizer"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("#version: 0.2\na b\n")), HasSubstr("merges"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("{}")), HasSubstr("model"));
  EXPECT_THAT(error_of(read_tokenizer_bytes(std::string(100'000, '['))), HasSubstr("tokenizer"));
  EXPECT_THAT(error_of(read_tokenizer_bytes("{\"a\":" + std::string(100'000, '['))),
              HasSubstr("JSON"));
  EXPECT_TRUE(absl::IsNotFound(read_tokenizer("/no/such/file").status()));
}

TEST(ReadTokenizer, TakesTheConfigurationBesideAFile) {
  const Directory directory;
  const std::string path = directory.add("tokenizer.json", kSmallJson);
  EXPECT_EQ(read_tokenizer(path)->rules.bos, -1);
  directory.add("tokenizer_config.json", R"json({"bos_token": {"content": "a"}, "eos_token": "b",
      "pad_token": null, "add_bos_token": true, "model_max_length": 1000000000000000019884624838656,
      "added_tokens_decoder": {"3": {"content": "<x>", "special": true, "rstrip": true}}})json");
  const auto data = read_tokenizer(directory.path());
  ASSERT_TRUE(data.ok()) << message_of(data.status());
  EXPECT_EQ(data->rules.bos, 0);
  EXPECT_EQ(data->rules.eos, 1);
  EXPECT_TRUE(data->rules.add_bos);
  EXPECT_EQ(data->tokens[3], "<x>");
  EXPECT_EQ(data->types[3], TokenType::kControl);
  const auto tokenizer = tokenizer_of(data);
  EXPECT_EQ(tokenizer->encode("ab<x>  b", {.parse_special = true}),
            (std::vector<int32_t>{0, 2, 3, 1}));
  directory.add("tokenizer_config.json", "{");
  EXPECT_THAT(error_of(read_tokenizer(path)), HasSubstr("tokenizer_config.json"));
}

TEST(ReadTokenizer, FindsTheOtherHalfOfAGpt2Vocabulary) {
  const Directory directory;
  const std::string vocabulary =
      directory.add("vocab.json", R"json({"a": 0, "b": 1, "ab": 2, "model": 3})json");
  EXPECT_THAT(error_of(read_tokenizer(vocabulary)), HasSubstr("merges.txt"));
  const std::string merges = directory.add("merges.txt", "#version: 0.2\na b\n");
  for (const std::string& path : {vocabulary, merges, directory.path()}) {
    const auto data = read_tokenizer(path);
    ASSERT_TRUE(data.ok()) << message_of(data.status());
    EXPECT_EQ(tokenizer_of(data)->encode("abab", kPlain), (std::vector<int32_t>{2, 2}));
  }
  directory.add("merges.txt", "#version: 0.2\na b c\n");
  EXPECT_THAT(error_of(read_tokenizer(vocabulary)), HasSubstr("line 2"));
  directory.add("vocab.json", R"json({"a": -1})json");
  EXPECT_THAT(error_of(read_tokenizer(merges)), HasSubstr("no usable id"));
}

TEST(CreateTokenizer, RefusesContradictions) {
  const auto error_with = [](auto change) {
    TokenizerData data;
    data.kind = TokenizerKind::kSentencePieceBpe;
    data.tokens = {"<unk>", "a"};
    data.scores = {0, 0};
    data.types = {TokenType::kUnknown, TokenType::kNormal};
    change(&data);
    const auto tokenizer = Tokenizer::create(std::move(data));
    return tokenizer.ok() ? "" : std::string(message_of(tokenizer.status()));
  };
  EXPECT_EQ(error_with([](TokenizerData*) {}), "");
  EXPECT_THAT(error_with([](TokenizerData* d) { d->kind = TokenizerKind::kNone; }),
              HasSubstr("no tokenizer"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->tokens.clear(); }), HasSubstr("no tokens"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->scores = {0}; }), HasSubstr("1 scores"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->scores[1] = NAN; }), HasSubstr("not finite"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->types.resize(3); }), HasSubstr("3 token types"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->rules.bos = 2; }), HasSubstr("bos"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->rules.eos = -2; }), HasSubstr("eos"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->rules.add_bos = true; }), HasSubstr("bos"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->rules.prefix = {7}; }), HasSubstr("special"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->added = {{.id = 9}}; }), HasSubstr("added"));
  EXPECT_THAT(error_with([](TokenizerData* d) { d->tokens[1] = std::string(2000, 'a'); }),
              HasSubstr("2000 bytes"));
  EXPECT_THAT(error_with([](TokenizerData* d) {
                d->kind = TokenizerKind::kSentencePieceUnigram;
                d->scores.clear();
              }),
              HasSubstr("score"));
}

}  // namespace
}  // namespace brisk
