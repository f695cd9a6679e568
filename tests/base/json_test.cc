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

TEST(ParseOrderedJson, KeepsTheOrderOfKeysAndTheRules) {
  EXPECT_EQ(parse_ordered_json(R"({"z":{"y":1,"b":2},"a":3})")->dump(),
            R"({"z":{"y":1,"b":2},"a":3})");
  EXPECT_FALSE(parse_ordered_json(R"({"a":1,"a":2})").ok());
  EXPECT_FALSE(parse_ordered_json(std::string(65, '[')).ok());
}

TEST(ParseOrderedJson, LimitsTheKeysOfAnObject) {
  const auto object_of = [](size_t keys) {
    std::string text = "{";
    for (size_t i = 0; i < keys; ++i) {
      text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
    }
    return text + "}";
  };
  EXPECT_TRUE(parse_ordered_json(object_of(kOrderedKeysMax)).ok());
  EXPECT_FALSE(parse_ordered_json(object_of(kOrderedKeysMax + 1)).ok());
}

TEST(ToText, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(to_text(Json("a\xFF")), "\"a\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace brisk
