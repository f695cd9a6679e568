#include "base/split_name.h"

#include <gtest/gtest.h>

namespace brisk {
namespace {

TEST(SplitName, KnowsItsPartAndTheOthers) {
  const auto name = parse_split_name("a/b-Q8_0-00002-of-00003.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->stem, "a/b-Q8_0");
  EXPECT_EQ(name->part, 2);
  EXPECT_EQ(name->parts, 3);
  EXPECT_EQ(name->of_part(1), "a/b-Q8_0-00001-of-00003.gguf");
}

TEST(SplitName, OtherNamesAreNone) {
  for (const char* path :
       {"", "a.gguf", "a-1-of-3.gguf", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf",
        "a-00001-of-00000.gguf", "-00001-of-00003.gguf", "x/-00001-of-00003.gguf",
        "a-00001-of-00003.safetensors", "a-0000x-of-00003.gguf", "a_00001-of-00003.gguf",
        "a-00001-of-99999.gguf"}) {
    EXPECT_FALSE(parse_split_name(path).has_value()) << path;
  }
}

}  // namespace
}  // namespace brisk
