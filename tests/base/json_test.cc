#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace brisk {
namespace {

TEST(ParseJson, RefusesNestingBeyondTheLimit) {
  const std::string deep(65, '[');
  EXPECT_FALSE(parse_json(deep).ok());
  EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_FALSE(parse_json(std::string(2'000'000, '[')).ok());
}

TEST(ParseJson, RefusesDuplicateKeysButNotEqualKeysOfDifferentObjects) {
  EXPECT_FALSE(parse_json(R"({"a":1,"a":2})").ok());
  EXPECT_TRUE(parse_json(R"({"a":{"a":1},"b":{"a":2}})").ok());
}

TEST(ParseJson, SaysWhereTheTextIsWrong) {
  const auto result = parse_json("{\"a\": nope}");
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("byte 8"), absl::string_view::npos)
      << result.status().message();
}

TEST(ToText, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(to_text(Json("a\xFF")), "\"a\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace brisk
