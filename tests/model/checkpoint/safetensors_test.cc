#include "model/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "tests/model/checkpoint/bytes_builder.h"

namespace brisk {
namespace {

using ::brisk::testing::BytesBuilder;
using ::brisk::testing::read_damaged;
using ::testing::HasSubstr;

BytesBuilder file_of(std::string_view header, size_t data_bytes) {
  BytesBuilder file;
  file.put<uint64_t>(header.size()).raw(header);
  for (size_t i = 0; i < data_bytes; ++i) file.put(static_cast<uint8_t>(i));
  return file;
}

std::string error_of(std::string_view header, size_t data_bytes) {
  const BytesBuilder file = file_of(header, data_bytes);
  const auto parsed = parse_safetensors(file.bytes());
  return parsed.ok() ? "" : std::string(message_of(parsed.status()));
}

constexpr std::string_view kTwoTensors =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},)"
    R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";

TEST(ParseSafetensors, ReadsTensorsInFileOrder) {
  const BytesBuilder bytes = file_of(std::string(kTwoTensors) + "   ", 16);
  const auto file = parse_safetensors(bytes.bytes());
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].name, "a");
  EXPECT_EQ(file->tensors[0].tensor.values(), 1);
  EXPECT_EQ(file->tensors[1].tensor.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file->tensors[1].tensor.dtype, DType::kF16);
  EXPECT_EQ(file->tensors[1].tensor.data[0], std::byte{4});
  EXPECT_EQ(file->metadata["format"], "pt");
}

TEST(ParseSafetensors, LeavesTensorsWithoutValuesOut) {
  const BytesBuilder bytes =
      file_of(R"({"e":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}})", 0);
  const auto file = parse_safetensors(bytes.bytes());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->tensors.empty());
}

struct BadHeader {
  const char* header;
  size_t data_bytes;
  const char* complaint;
};

TEST(ParseSafetensors, RefusesEveryBrokenRule) {
  const BadHeader cases[] = {
      {"{]", 0, "header"},
      {"[[]]", 0, "not a safetensors"},
      {R"({"a":1})", 0, "should have dtype"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}})", 4, "should have dtype"},
      {R"({"a":{"dtype":"F9","shape":[1],"data_offsets":[0,4]}})", 4, "dtype F9"},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4, "no dtype"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "impossible shape"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4, "impossible shape"},
      {R"({"a":{"dtype":"F32","shape":4,"data_offsets":[0,4]}})", 4, "no shape"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4, "no shape"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4,
       "too large"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "needs 8 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "impossible data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "impossible data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "take 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "take 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "gap of 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
       6, "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, "appears twice"},
      {R"({"__metadata__":{"a":1}})", 0, "object of strings"},
      {R"({"__metadata__":[]})", 0, "object of strings"},
  };
  for (const BadHeader& bad : cases) {
    EXPECT_THAT(error_of(bad.header, bad.data_bytes), HasSubstr(bad.complaint)) << bad.header;
  }
}

TEST(ParseSafetensors, RefusesHeaderLengthsBeyondTheFile) {
  for (const uint64_t length : {uint64_t{3}, uint64_t{1} << 40, ~uint64_t{0}}) {
    BytesBuilder file;
    file.put(length).raw("{}");
    EXPECT_FALSE(parse_safetensors(file.bytes()).ok()) << length;
  }
}

TEST(ParseSafetensors, SurvivesAnyDamage) {
  const BytesBuilder bytes = file_of(kTwoTensors, 16);
  int refused = 0;
  read_damaged(bytes.bytes(), 8 + kTwoTensors.size(), [&](std::span<const std::byte> file) {
    const auto parsed = parse_safetensors(file);
    if (parsed.ok()) return;
    EXPECT_FALSE(parsed.status().message().empty());
    ++refused;
  });
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace brisk
