// What the writers write, the readers read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/gguf_writer.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/safetensors_writer.h"

namespace brisk {
namespace {

using ::testing::HasSubstr;

class Writers : public ::testing::Test {
 protected:
  Writers()
      : path_((std::filesystem::temp_directory_path() /
               ("brisk_writers_test." + std::to_string(::getpid())))
                  .string()) {}
  ~Writers() override { std::filesystem::remove(path_); }

  const std::string path_;
};

std::vector<std::byte> pattern(size_t count, int first) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return bytes;
}

const std::vector<TensorPlan> kTensors = {
    {.name = "odd", .dtype = DType::kF16, .shape = {3}},
    {.name = "table", .dtype = DType::kF32, .shape = {2, 4}},
};

void append_all(TensorFileWriter& writer) {
  ASSERT_TRUE(writer.append(pattern(6, 1)).ok());
  const auto table = pattern(32, 100);
  ASSERT_TRUE(writer.append(std::span(table).first(5)).ok());
  ASSERT_TRUE(writer.append(std::span(table).subspan(5)).ok());
}

TEST_F(Writers, GgufComesBackAsItWas) {
  GgufHeader header;
  header.text("general.architecture", "x");
  header.u32("a", 7);
  header.f32("b", 0.5f);
  header.boolean("c", true);
  const std::string words[] = {"one", "", "three"};
  header.texts("d", words);
  const float numbers[] = {1, 2.5f};
  header.floats("e", numbers);
  const int32_t wholes[] = {-1, 5};
  header.i32s("f", wholes);
  auto writer = create_gguf(path_, header, kTensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  append_all(*writer);
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(writer->finish().ok());

  const auto mapped = MappedFile::open(path_);
  ASSERT_TRUE(mapped.ok());
  const auto file = parse_gguf(mapped->bytes());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(**file->integer("a"), 7);
  EXPECT_EQ(**file->number("b"), 0.5);
  EXPECT_EQ(**file->boolean("c"), true);
  EXPECT_EQ((*file->array("d"))->strings[2], "three");
  EXPECT_EQ((*file->array("e"))->number(1), 2.5);
  EXPECT_EQ((*file->array("f"))->number(0), -1);
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[1].shape, kTensors[1].shape);
  EXPECT_EQ(file->tensors[1].data[31], std::byte{131});
}

TEST_F(Writers, SafetensorsComeBackAsTheyWere) {
  auto writer = create_safetensors(path_, kTensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  append_all(*writer);
  ASSERT_TRUE(writer->finish().ok());
  const auto mapped = MappedFile::open(path_);
  ASSERT_TRUE(mapped.ok());
  const auto file = parse_safetensors(mapped->bytes());
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].tensor.dtype, DType::kF16);
  EXPECT_EQ(file->tensors[1].tensor.shape, kTensors[1].shape);
  EXPECT_EQ(file->tensors[1].tensor.data[0], std::byte{100});
  EXPECT_EQ(file->metadata["format"], "pt");
}

TEST_F(Writers, LeaveNothingBehindWhenTheyAreDropped) {
  {
    auto writer = create_gguf(path_, GgufHeader(), kTensors);
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(path_).parent_path())) {
    EXPECT_FALSE(entry.path().string().starts_with(path_)) << entry.path();
  }
}

TEST_F(Writers, RefuseWhatTheFormatCannotHold) {
  const std::vector<TensorPlan> grouped = {
      {.name = "t", .dtype = DType::kInt8Grouped, .shape = {4}}};
  EXPECT_FALSE(create_gguf(path_, GgufHeader(), grouped).ok());
  EXPECT_FALSE(create_safetensors(path_, grouped).ok());
  const std::vector<TensorPlan> ragged = {{.name = "t", .dtype = DType::kQ8_0, .shape = {33}}};
  EXPECT_FALSE(create_gguf(path_, GgufHeader(), ragged).ok());
  const std::vector<TensorPlan> twice = {kTensors[0], kTensors[0]};
  EXPECT_FALSE(create_safetensors(path_, twice).ok());
  const auto nowhere = create_gguf("/nonexistent/x.gguf", GgufHeader(), kTensors);
  EXPECT_THAT(std::string(message_of(nowhere.status())), HasSubstr("cannot write"));
}

}  // namespace
}  // namespace brisk
