#include "plan/load/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace brisk {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(std::string_view text) { return read_trace(text).status().ToString(); }

constexpr const char* kAzure =
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 23:59:59.5000000,4808,10\r\n"
    "2023-11-17 00:00:00.7500000,3180,8\r\n"
    "\r\n"
    "2023-11-17 00:00:01,110,27";

TEST(Trace, ReadsAzureAcrossMidnight) {
  const auto rows = read_trace(kAzure);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 3);
  EXPECT_DOUBLE_EQ((*rows)[0].at_s, 0);
  EXPECT_DOUBLE_EQ((*rows)[1].at_s, 1.25);
  EXPECT_DOUBLE_EQ((*rows)[2].at_s, 1.5);
  EXPECT_EQ((*rows)[0].prompt_tokens, 4808);
  EXPECT_EQ((*rows)[2].output_tokens, 27);
  EXPECT_TRUE((*rows)[0].blocks.empty());
}

TEST(Trace, FindsAzureColumnsByNameAndTakesZones) {
  const auto rows = read_trace(
      "id,GeneratedTokens,TIMESTAMP,ContextTokens\n"
      "7,3,2024-05-10 00:00:00.009930+00:00,12\n8,4,2024-05-10T00:00:01.009930Z,13\n");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)[0].prompt_tokens, 12);
  EXPECT_EQ((*rows)[0].output_tokens, 3);
  EXPECT_NEAR((*rows)[1].at_s, 1, 1e-9);
}

TEST(Trace, ReadsMooncakeWithItsBlocks) {
  const auto rows = read_trace(
      R"({"timestamp": 27000, "input_length": 1100, "output_length": 5, "hash_ids": [0, 7, 9]})"
      "\n"
      R"({"timestamp": 30500, "input_length": 3, "output_length": 1})"
      "\n");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_DOUBLE_EQ((*rows)[0].at_s, 0);
  EXPECT_DOUBLE_EQ((*rows)[1].at_s, 3.5);
  EXPECT_THAT((*rows)[0].blocks, ElementsAre(0, 7, 9));
}

TEST(Trace, TakesOnlyTheFirstRows) {
  const auto rows = read_trace(kAzure, 2);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->size(), 2);
}

TEST(Trace, RowsOutOfOrderAreSorted) {
  const auto rows = read_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:05,1,1\n2023-11-16 "
      "10:00:02,2,1\n");
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ((*rows)[0].prompt_tokens, 2);
  EXPECT_DOUBLE_EQ((*rows)[1].at_s, 3);
}

TEST(Trace, SaysWhichLineIsWrong) {
  const std::string heading = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:05,1,1\n";
  for (const char* line :
       {"2023-11-16 10:00:05,1", "2023-11-16 10:00:05,-1,1", "2023-11-16 10:00:05,1.5,1",
        "2023-11-16 10:00:05,99999999999999999999,1", "2023-13-16 10:00:05,1,1",
        "2023-02-29 10:00:05,1,1", "yesterday,1,1", "2023-11-16 25:00:05,1,1",
        "2023-11-16 10:00:05.,1,1", "2023-11-16 10:00:05 pm,1,1", "9999-11-16 10:00:05,1,1"}) {
    EXPECT_THAT(error_of(heading + line), HasSubstr("line 3: ")) << line;
  }
  const std::string good = R"({"timestamp":1,"input_length":1,"output_length":1})";
  for (const char* line :
       {"{", "[]", "7", R"({"timestamp":1})",
        R"({"timestamp":-1,"input_length":1,"output_length":1})",
        R"({"timestamp":1,"input_length":1e9,"output_length":1})",
        R"({"timestamp":1,"input_length":99999999,"output_length":1})",
        R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":7})",
        R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":[-7]})",
        R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":[4611686018427387904]})",
        R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":[[[[[1]]]]]})"}) {
    EXPECT_THAT(error_of(good + "\n\n" + line), HasSubstr("line 3: ")) << line;
  }
}

TEST(Trace, SaysWhatATraceLooksLike) {
  EXPECT_THAT(error_of(""), HasSubstr("TIMESTAMP,ContextTokens,GeneratedTokens"));
  EXPECT_THAT(error_of("a,b\n1,2\n"), HasSubstr("line 1"));
  EXPECT_THAT(error_of("TIMESTAMP,ContextTokens,GeneratedTokens\n"), HasSubstr("no requests"));
}

}  // namespace
}  // namespace brisk
