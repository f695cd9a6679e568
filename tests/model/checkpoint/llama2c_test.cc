#include "model/checkpoint/llama2c.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"
#include "tests/model/checkpoint/bytes_builder.h"

namespace brisk {
namespace {

using ::brisk::testing::BytesBuilder;
using ::brisk::testing::read_damaged;
using ::testing::HasSubstr;

struct Sizes {
  int32_t hidden = 8, ffn = 12, layers = 2, heads = 2, kv_heads = 1, vocab = 6, context = 4;
};

BytesBuilder& put_sizes(BytesBuilder& file, const Sizes& s) {
  return file.put(s.hidden)
      .put(s.ffn)
      .put(s.layers)
      .put(s.heads)
      .put(s.kv_heads)
      .put(s.vocab)
      .put(s.context);
}

BytesBuilder with_magic(int32_t version, bool tied, int32_t group) {
  BytesBuilder file;
  file.put<uint32_t>(0x616B3432).put(version);
  put_sizes(file, {});
  return file.put<uint8_t>(tied ? 1 : 0).put(group).pad_to(256);
}

// Consecutive numbers, so that a tensor's first value tells where it began.
void put_floats(BytesBuilder& file, int count, float first = 0) {
  for (int i = 0; i < count; ++i) file.put(first + static_cast<float>(i));
}

// Values of a layer's matrices: q, k, v, o, gate, down, up.
constexpr int kLayerMatrices = 64 + 32 + 32 + 64 + 3 * 96;
constexpr int kVersion0Floats = 48 + 2 * (8 + 8 + kLayerMatrices) + 8 + 16;

float first_value(const Checkpoint& checkpoint, std::string_view name) {
  const Tensor* tensor = checkpoint.find(name);
  if (tensor == nullptr) return -1;
  float value = 0;
  decode_values(*tensor, 0, 1, &value);
  return value;
}

TEST(Llama2c, Version0HasItsWeightsInTrainingOrder) {
  for (const bool tied : {true, false}) {
    BytesBuilder file;
    put_sizes(file, {.vocab = tied ? 6 : -6});
    put_floats(file, kVersion0Floats + (tied ? 0 : 48));
    ASSERT_TRUE(is_llama2c(file.bytes()));
    Checkpoint checkpoint;
    ASSERT_TRUE(read_llama2c(file.bytes(), checkpoint).ok());
    EXPECT_EQ(checkpoint.config.tied_embeddings, tied);
    EXPECT_EQ(checkpoint.config.architecture, "llama");
    EXPECT_EQ(checkpoint.config.kv_heads, 1);
    EXPECT_EQ(first_value(checkpoint, "token_embd.weight"), 0);
    EXPECT_EQ(first_value(checkpoint, "blk.1.attn_norm.weight"), 48 + 8);
    EXPECT_EQ(first_value(checkpoint, "blk.1.attn_k.weight"), 64 + 128 + 32);
    EXPECT_EQ(first_value(checkpoint, "blk.0.ffn_norm.weight"), 64 + 2 * 192);
    EXPECT_EQ(first_value(checkpoint, "blk.0.ffn_down.weight"), 64 + 2 * 192 + 16 + 192);
    EXPECT_EQ(first_value(checkpoint, "output.weight"), tied ? -1 : kVersion0Floats);
    EXPECT_EQ(checkpoint.find("blk.0.attn_k.weight")->shape, (std::vector<int64_t>{4, 8}));
    EXPECT_EQ(checkpoint.find("blk.0.ffn_down.weight")->shape, (std::vector<int64_t>{8, 12}));
  }
}

TEST(Llama2c, Version1HasItsNormsFirst) {
  BytesBuilder file = with_magic(1, false, 0);
  put_floats(file, 40 + 48 + 2 * kLayerMatrices + 48);
  Checkpoint checkpoint;
  const absl::Status status = read_llama2c(file.bytes(), checkpoint);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(first_value(checkpoint, "blk.0.ffn_norm.weight"), 16);
  EXPECT_EQ(first_value(checkpoint, "output_norm.weight"), 32);
  EXPECT_EQ(first_value(checkpoint, "token_embd.weight"), 40);
  EXPECT_EQ(first_value(checkpoint, "output.weight"), 40 + 48 + 2 * kLayerMatrices);
}

void put_int8(BytesBuilder& file, int values, int group, int8_t value, float scale) {
  for (int i = 0; i < values; ++i) file.put(value);
  for (int i = 0; i < values / group; ++i) file.put(scale);
}

BytesBuilder int8_file() {
  BytesBuilder file = with_magic(2, true, 4);
  put_floats(file, 40);
  put_int8(file, 48, 4, 3, 0.5f);
  int8_t value = 1;
  for (const int values : {64, 32, 32, 64, 96, 96, 96}) {
    for (int layer = 0; layer < 2; ++layer) put_int8(file, values, 4, value++, 2.0f);
  }
  return file;
}

TEST(Llama2c, Version2KeepsItsScalesBehindEachMatrix) {
  const BytesBuilder file = int8_file();
  Checkpoint checkpoint;
  const absl::Status status = read_llama2c(file.bytes(), checkpoint);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(first_value(checkpoint, "token_embd.weight"), 1.5f);
  EXPECT_EQ(first_value(checkpoint, "blk.0.attn_q.weight"), 2.0f);
  EXPECT_EQ(first_value(checkpoint, "blk.1.attn_q.weight"), 4.0f);
  EXPECT_EQ(first_value(checkpoint, "blk.1.ffn_up.weight"), 28.0f);
  EXPECT_EQ(checkpoint.find("blk.0.attn_q.weight")->scales.size(), 16u);
}

TEST(Llama2c, TernaryFilesAreKnownByTheirSize) {
  BytesBuilder file = with_magic(1, true, 0);
  put_floats(file, 8);
  put_floats(file, 48, 100);
  float scale = 1;
  for (const int values : {64, 32, 32, 64, 96, 96, 96}) {
    for (int layer = 0; layer < 2; ++layer) {
      file.put(scale++);
      for (int i = 0; i < values / 4; ++i) file.put<uint8_t>(0b00'00'11'01);
    }
  }
  Checkpoint checkpoint;
  const absl::Status status = read_llama2c(file.bytes(), checkpoint);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(checkpoint.config.architecture, "bitnet");
  EXPECT_EQ(first_value(checkpoint, "token_embd.weight"), 100);
  float values[8];
  decode_values(*checkpoint.find("blk.1.attn_k.weight"), 0, 8, values);
  EXPECT_EQ(std::vector<float>(values, values + 8), (std::vector<float>{4, -4, 0, 0, 4, -4, 0, 0}));
}

TEST(Llama2c, RefusesAnyOtherSize) {
  const BytesBuilder file = int8_file();
  read_damaged(file.bytes(), 0, [](std::span<const std::byte> cut) {
    Checkpoint checkpoint;
    EXPECT_FALSE(read_llama2c(cut, checkpoint).ok());
  });
  BytesBuilder longer = int8_file();
  longer.zeros(1);
  Checkpoint checkpoint;
  EXPECT_THAT(std::string(message_of(read_llama2c(longer.bytes(), checkpoint))),
              HasSubstr("its llama2.c header describes"));
}

TEST(Llama2c, SurvivesAnyFlippedBitOfItsHeader) {
  const BytesBuilder file = int8_file();
  int refused = 0;
  read_damaged(file.bytes(), 44, [&](std::span<const std::byte> damaged) {
    Checkpoint checkpoint;
    refused += read_llama2c(damaged, checkpoint).ok() ? 0 : 1;
  });
  EXPECT_GT(refused, 250);
  BytesBuilder version_0;
  put_sizes(version_0, {});
  put_floats(version_0, kVersion0Floats);
  refused = 0;
  read_damaged(version_0.bytes(), 28,
               [&](std::span<const std::byte> damaged) { refused += is_llama2c(damaged) ? 0 : 1; });
  EXPECT_GT(refused, 200);
}

TEST(Llama2c, RefusesGroupsThatDoNotDivide) {
  BytesBuilder file = with_magic(2, true, 5);
  file.zeros(10'000);
  Checkpoint checkpoint;
  EXPECT_THAT(std::string(message_of(read_llama2c(file.bytes(), checkpoint))),
              HasSubstr("whole groups of 5"));
}

struct RealFile {
  const char* path;
  const char* architecture;
  DType dtype;
  int64_t hidden, layers, vocab;
};

TEST(Llama2c, OpensRealFiles) {
  const RealFile files[] = {
      {"stories260K/stories260K.bin", "llama", DType::kF32, 64, 5, 512},
      {"stories260K/stories260K-q8.bin", "llama", DType::kInt8Grouped, 64, 5, 512},
      {"stories3M/stories3M-q80.bin", "llama", DType::kInt8Grouped, 192, 6, 4096},
      {"bitllama3M/model.bin", "bitnet", DType::kTernaryGrouped, 256, 8, 512},
  };
  for (const RealFile& file : files) {
    const std::string path = std::string(BRISK_DATA_DIR "/models/") + file.path;
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "test data is absent";
    const auto checkpoint = open_checkpoint(path);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const ModelConfig& config = (*checkpoint)->config;
    EXPECT_EQ(config.architecture, file.architecture);
    EXPECT_EQ(config.hidden_size, file.hidden);
    EXPECT_EQ(config.layers, file.layers);
    EXPECT_EQ(config.vocab_size, file.vocab);
    EXPECT_EQ((*checkpoint)->find("blk.0.attn_q.weight")->dtype, file.dtype);
  }
}

TEST(Llama2c, FindsTheTokenizerBesideTheModel) {
  const std::string directory = BRISK_DATA_DIR "/models/";
  if (!std::filesystem::exists(directory)) GTEST_SKIP() << "test data is absent";
  const auto stories = open_checkpoint(directory + "stories260K/stories260K.bin");
  ASSERT_TRUE(stories.ok()) << stories.status();
  EXPECT_EQ((*stories)->tokenizer.tokens.size(), 512u);
  EXPECT_THAT((*stories)->tokenizer.rules.end_of_generation, ::testing::Contains(2));
  const std::string bitnet = directory + "bitllama3M/model.bin";
  EXPECT_EQ((*open_checkpoint(bitnet))->tokenizer.kind, TokenizerKind::kNone);
  const auto given =
      open_checkpoint(bitnet, {.tokenizer_path = directory + "stories260K/tok512.model"});
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ((*given)->tokenizer.tokens.size(), 512u);
  const auto too_large =
      open_checkpoint(bitnet, {.tokenizer_path = directory + "stories3M/tok4096.bin"});
  EXPECT_THAT(std::string(message_of(too_large.status())), HasSubstr("4096 tokens"));
}

}  // namespace
}  // namespace brisk
