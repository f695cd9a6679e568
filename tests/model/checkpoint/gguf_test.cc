#include "model/checkpoint/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/status.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/gguf_model.h"
#include "tests/model/checkpoint/bytes_builder.h"

namespace brisk {
namespace {

using ::brisk::testing::BytesBuilder;
using ::brisk::testing::read_damaged;
using ::testing::HasSubstr;

BytesBuilder header(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
  return BytesBuilder().raw("GGUF").put(version).put(tensors).put(pairs);
}

void put_type(BytesBuilder& file, GgufType type) { file.put(static_cast<uint32_t>(type)); }

void put_text(BytesBuilder& file, std::string_view key, std::string_view text) {
  file.string(key);
  put_type(file, GgufType::kString);
  file.string(text);
}

void put_number(BytesBuilder& file, std::string_view key, uint32_t value) {
  file.string(key);
  put_type(file, GgufType::kU32);
  file.put(value);
}

void put_tensor(BytesBuilder& file, std::string_view name, std::vector<uint64_t> extents,
                uint32_t type, uint64_t offset) {
  file.string(name).put(static_cast<uint32_t>(extents.size()));
  for (const uint64_t extent : extents) file.put(extent);
  file.put(type).put(offset);
}

// Everything a small file can have: scalars, arrays of all sorts, two tensors.
BytesBuilder small_file() {
  BytesBuilder file = header(2, 9);
  put_text(file, "general.architecture", "llama");
  put_number(file, "llama.block_count", 2);
  put_number(file, "llama.embedding_length", 4);
  put_text(file, "tokenizer.ggml.model", "llama");
  file.string("tokenizer.ggml.tokens");
  put_type(file, GgufType::kArray);
  put_type(file, GgufType::kString);
  file.put<uint64_t>(3).string("<unk>").string("<s>").string("</s>");
  file.string("tokenizer.ggml.scores");
  put_type(file, GgufType::kArray);
  put_type(file, GgufType::kF32);
  file.put<uint64_t>(3).put(0.5f).put(-1.0f).put(-2.0f);
  file.string("tokenizer.ggml.token_type");
  put_type(file, GgufType::kArray);
  put_type(file, GgufType::kI32);
  file.put<uint64_t>(3).put<int32_t>(2).put<int32_t>(3).put<int32_t>(3);
  file.string("some.nested");
  put_type(file, GgufType::kArray);
  put_type(file, GgufType::kArray);
  file.put<uint64_t>(2);
  for (int i = 0; i < 2; ++i) {
    put_type(file, GgufType::kU8);
    file.put<uint64_t>(1).put<uint8_t>(7);
  }
  file.string("some.flag");
  put_type(file, GgufType::kBool);
  file.put<uint8_t>(1);
  put_tensor(file, "token_embd.weight", {4, 3}, 0, 0);
  put_tensor(file, "output_norm.weight", {4}, 0, 64);
  file.pad_to(32);
  for (int i = 0; i < 12; ++i) file.put(static_cast<float>(i));
  file.zeros(16);
  for (int i = 0; i < 4; ++i) file.put(1.0f);
  return file;
}

std::string error_of(const BytesBuilder& file) {
  const auto parsed = parse_gguf(file.bytes());
  return parsed.ok() ? "" : std::string(message_of(parsed.status()));
}

TEST(ParseGguf, ReadsValuesAndTensors) {
  const BytesBuilder bytes = small_file();
  const auto file = parse_gguf(bytes.bytes());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(**file->integer("llama.block_count"), 2);
  EXPECT_EQ(**file->string("general.architecture"), "llama");
  EXPECT_EQ(**file->boolean("some.flag"), true);
  EXPECT_EQ((*file->array("tokenizer.ggml.scores"))->number(1), -1.0);
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].shape, (std::vector<int64_t>{3, 4}));
  float value;
  std::memcpy(&value, file->tensors[0].data.data() + 4 * 11, sizeof value);
  EXPECT_EQ(value, 11.0f);
  EXPECT_EQ(file->tensors[1].data.size(), 16u);
}

TEST(ParseGguf, ReportsAbsentAndWrongKeysDifferently) {
  const BytesBuilder bytes = small_file();
  const auto file = parse_gguf(bytes.bytes());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*file->integer("no.such.key"), std::nullopt);
  EXPECT_FALSE(file->integer("general.architecture").ok());
  EXPECT_FALSE(file->array("some.flag").ok());
}

TEST(ParseGguf, RefusesAnyTruncation) {
  const BytesBuilder bytes = small_file();
  int accepted = 0;
  read_damaged(bytes.bytes(), 0,
               [&](std::span<const std::byte> file) { accepted += parse_gguf(file).ok() ? 1 : 0; });
  EXPECT_EQ(accepted, 0);
}

TEST(ReadGguf, SurvivesAnyFlippedBit) {
  const BytesBuilder bytes = small_file();
  int refused = 0;
  read_damaged(bytes.bytes(), bytes.bytes().size(), [&](std::span<const std::byte> file) {
    Checkpoint checkpoint;
    const absl::Status status = read_gguf(file, checkpoint);
    if (status.ok()) return;
    EXPECT_FALSE(status.message().empty());
    ++refused;
  });
  EXPECT_GT(refused, 1000);
}

TEST(ParseGguf, RefusesOtherVersions) {
  EXPECT_THAT(error_of(header(0, 0, 1)), HasSubstr("version 1"));
  EXPECT_THAT(error_of(header(0, 0, 0x03000000)), HasSubstr("big-endian"));
  EXPECT_THAT(error_of(BytesBuilder().raw("GGML")), HasSubstr("not a GGUF"));
}

TEST(ParseGguf, RefusesCountsBeyondTheFile) {
  EXPECT_THAT(error_of(header(0, ~uint64_t{0})), HasSubstr("ends inside"));
  EXPECT_THAT(error_of(header(~uint64_t{0}, 0)), HasSubstr("ends inside"));
  for (const GgufType type : {GgufType::kU8, GgufType::kU64, GgufType::kString, GgufType::kArray}) {
    BytesBuilder file = header(0, 1).string("k");
    put_type(file, GgufType::kArray);
    put_type(file, type);
    file.put(~uint64_t{0} / 2).zeros(64);
    EXPECT_THAT(error_of(file), HasSubstr("ends inside"));
  }
  BytesBuilder file = header(0, 1).put(~uint64_t{0}).zeros(64);
  EXPECT_THAT(error_of(file), HasSubstr("ends inside"));
}

TEST(ParseGguf, RefusesDeepNesting) {
  BytesBuilder file = header(0, 1).string("k");
  put_type(file, GgufType::kArray);
  for (int depth = 0; depth < 10'000; ++depth) {
    put_type(file, GgufType::kArray);
    file.put<uint64_t>(1);
  }
  EXPECT_THAT(error_of(file), HasSubstr("nested deeper"));
}

TEST(ParseGguf, RefusesDuplicates) {
  BytesBuilder file = header(0, 2);
  put_number(file, "a", 1);
  put_number(file, "a", 1);
  EXPECT_THAT(error_of(file), HasSubstr("\"a\" appears twice"));
}

struct BadTensor {
  std::vector<uint64_t> extents;
  uint32_t type;
  uint64_t offset;
  const char* complaint;
};

TEST(ParseGguf, RefusesImpossibleTensors) {
  const BadTensor cases[] = {
      {{}, 0, 0, "0 dimensions"},
      {{1, 1, 1, 1, 1}, 0, 0, "5 dimensions"},
      {{0}, 0, 0, "impossible shape"},
      {{~uint64_t{0}}, 0, 0, "impossible shape"},
      {{uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0, "too large"},
      {{uint64_t{1} << 62, 4}, 0, 0, "too large"},
      {{8}, 0, 16, "not a multiple of 32"},
      {{8}, 0, 96, "needs 32 bytes at 96"},
      {{8}, 0, uint64_t{1} << 62, "needs 32 bytes"},
      {{33}, 8, 0, "blocks of 32"},
      {{256}, 23, 0, "format number 23"},
      {{256}, 77, 0, "format number 77"},
  };
  for (const BadTensor& bad : cases) {
    BytesBuilder file = header(1, 0);
    put_tensor(file, "t", bad.extents, bad.type, bad.offset);
    file.pad_to(32).zeros(96);
    EXPECT_THAT(error_of(file), HasSubstr(bad.complaint));
  }
}

TEST(ParseGguf, RefusesOverlappingTensors) {
  BytesBuilder file = header(2, 0);
  put_tensor(file, "a", {16}, 0, 0);
  put_tensor(file, "b", {8}, 0, 32);
  file.pad_to(32).zeros(64);
  EXPECT_THAT(error_of(file), HasSubstr("\"a\" and \"b\" overlap"));
}

TEST(ParseGguf, ObeysAndChecksAlignment) {
  for (const uint32_t bad : {0u, 3u, 1u << 30}) {
    BytesBuilder file = header(0, 1);
    put_number(file, "general.alignment", bad);
    EXPECT_THAT(error_of(file), HasSubstr("general.alignment"));
  }
  BytesBuilder file = header(1, 1);
  put_number(file, "general.alignment", 8);
  put_tensor(file, "a", {1}, 0, 8);
  file.pad_to(8).zeros(8).put(3.0f);
  const auto parsed = parse_gguf(file.bytes());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  float value;
  std::memcpy(&value, parsed->tensors[0].data.data(), sizeof value);
  EXPECT_EQ(value, 3.0f);
}

TEST(ReadGguf, RefusesDuplicateTensors) {
  BytesBuilder file = header(2, 1);
  put_text(file, "general.architecture", "x");
  put_tensor(file, "a", {8}, 0, 0);
  put_tensor(file, "a", {8}, 0, 32);
  file.pad_to(32).zeros(64);
  Checkpoint checkpoint;
  EXPECT_THAT(std::string(message_of(read_gguf(file.bytes(), checkpoint))),
              HasSubstr("\"a\" appears twice"));
}

TEST(ReadGguf, RefusesSizesThatDoNotFitAnInt) {
  BytesBuilder file = header(0, 2);
  put_text(file, "general.architecture", "llama");
  put_number(file, "llama.block_count", 0xFFFFFFF0);
  Checkpoint checkpoint;
  EXPECT_THAT(std::string(message_of(read_gguf(file.bytes(), checkpoint))),
              HasSubstr("llama.block_count"));
}

TEST(ReadGguf, TakesOneNumberForAllLayersOnly) {
  for (const uint32_t second : {4u, 5u}) {
    BytesBuilder file = header(0, 2);
    put_text(file, "general.architecture", "llama");
    file.string("llama.attention.head_count_kv");
    put_type(file, GgufType::kArray);
    put_type(file, GgufType::kU32);
    file.put<uint64_t>(2).put(4u).put(second);
    Checkpoint checkpoint;
    const absl::Status status = read_gguf(file.bytes(), checkpoint);
    EXPECT_EQ(status.ok(), second == 4);
    EXPECT_EQ(checkpoint.config.kv_heads, status.ok() ? 4 : 0);
  }
}

TEST(ReadGguf, RefusesSpecialTokensOutsideTheVocabulary) {
  BytesBuilder file = header(0, 5);
  put_text(file, "general.architecture", "llama");
  put_text(file, "tokenizer.ggml.model", "llama");
  file.string("tokenizer.ggml.tokens");
  put_type(file, GgufType::kArray);
  put_type(file, GgufType::kString);
  file.put<uint64_t>(1).string("a");
  file.string("tokenizer.ggml.scores");
  put_type(file, GgufType::kArray);
  put_type(file, GgufType::kF32);
  file.put<uint64_t>(1).put(0.0f);
  put_number(file, "tokenizer.ggml.eos_token_id", 1);
  Checkpoint checkpoint;
  EXPECT_THAT(std::string(message_of(read_gguf(file.bytes(), checkpoint))),
              HasSubstr("eos_token_id\" is 1, but there are 1 tokens"));
}

std::shared_ptr<const Checkpoint> open_or_null(const std::string& path) {
  if (!std::filesystem::exists(path)) return nullptr;
  const auto checkpoint = open_checkpoint(path);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? *checkpoint : nullptr;
}

TEST(OpenGguf, ReadsTheStoriesModel) {
  const auto checkpoint = open_or_null(BRISK_DATA_DIR "/models/stories260K/stories260Ktok512.gguf");
  if (checkpoint == nullptr) GTEST_SKIP() << "test data is absent";
  const ModelConfig& config = checkpoint->config;
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.layers, 5);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.heads, 8);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.ffn_size, 172);
  EXPECT_EQ(config.vocab_size, 512);
  EXPECT_EQ(config.context_length, 128);
  EXPECT_EQ(checkpoint->tokenizer.kind, TokenizerKind::kSentencePieceBpe);
  EXPECT_EQ(checkpoint->tokenizer.tokens.size(), 512u);
  const Tensor* table = checkpoint->find("token_embd.weight");
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->shape, (std::vector<int64_t>{512, 64}));
}

TEST(OpenGguf, ReadsAByteLevelVocabulary) {
  const auto checkpoint = open_or_null(BRISK_DATA_DIR "/tokenizers/gpt2/ggml-vocab-gpt-2.gguf");
  if (checkpoint == nullptr) GTEST_SKIP() << "test data is absent";
  const TokenizerData& tokenizer = checkpoint->tokenizer;
  EXPECT_EQ(tokenizer.kind, TokenizerKind::kByteLevelBpe);
  EXPECT_EQ(tokenizer.pre_tokenizer, "gpt-2");
  ASSERT_EQ(tokenizer.tokens.size(), 50257u);
  EXPECT_EQ(tokenizer.tokens[262], " the");
  EXPECT_EQ(tokenizer.tokens[50256], "<|endoftext|>");
  ASSERT_EQ(tokenizer.merges.size(), 50000u);
  EXPECT_EQ(tokenizer.merges[0], (std::pair<std::string, std::string>(" ", "t")));
  EXPECT_EQ(tokenizer.rules.eos, 50256);
}

TEST(OpenGguf, ReadsSentencePieceVocabularies) {
  const auto llama = open_or_null(BRISK_DATA_DIR "/tokenizers/llama2/ggml-vocab-llama-spm.gguf");
  if (llama == nullptr) GTEST_SKIP() << "test data is absent";
  EXPECT_EQ(llama->tokenizer.tokens.size(), 32000u);
  EXPECT_TRUE(llama->tokenizer.rules.add_bos);
  EXPECT_EQ(llama->tokenizer.types[3], TokenType::kByte);
  const auto phi = open_or_null(BRISK_DATA_DIR "/tokenizers/phi3/ggml-vocab-phi-3.gguf");
  ASSERT_NE(phi, nullptr);
  EXPECT_EQ(phi->tokenizer.kind, TokenizerKind::kSentencePieceBpe);
}

}  // namespace
}  // namespace brisk
