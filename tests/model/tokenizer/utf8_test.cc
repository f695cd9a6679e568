#include "model/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace brisk {
namespace {

using namespace std::string_literals;

TEST(Utf8, ReadsBackEveryCodePointItWrites) {
  for (uint32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    utf8_append(code, &text);
    const Utf8Char c = utf8_first(text);
    ASSERT_EQ(c.state, Utf8State::kValid) << code;
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(c.size, text.size());
  }
}

// The examples of the Unicode Standard, section 3.9, tables 3-8 to 3-11.
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r(kReplacement);
  EXPECT_EQ(utf8_repaired("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(utf8_repaired("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(utf8_repaired("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(utf8_repaired("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

TEST(Utf8, TellsTruncatedFromInvalid) {
  EXPECT_EQ(utf8_first("\xF0\x9F\xA6").state, Utf8State::kTruncated);
  EXPECT_EQ(utf8_first("\xF0\x9F\xA6").size, 3);
  EXPECT_EQ(utf8_first("\xF0\x9F x").state, Utf8State::kInvalid);
  EXPECT_EQ(utf8_first("\xF0\x9F x").size, 2);
  EXPECT_EQ(utf8_first("\xF5").state, Utf8State::kInvalid);
  EXPECT_EQ(utf8_valid_prefix("a\xC3\xA9\xC3"), 3U);
  EXPECT_EQ(utf8_valid_prefix("a\0b"s), 3U);
}

TEST(Utf8Printable, KeepsTextAndEscapesWhatCommandsATerminal) {
  EXPECT_EQ(utf8_printable("na\u00EFve \u4E16\u754C \U0001F469", 100),
            "na\u00EFve \u4E16\u754C \U0001F469");
  EXPECT_EQ(utf8_printable("a\nb\r\tc\x1B[2J\x7F", 100), R"(a\x0Ab\x0D\x09c\x1B[2J\x7F)");
  EXPECT_EQ(utf8_printable(std::string_view("\0x", 2), 100), R"(\x00x)");
  EXPECT_EQ(utf8_printable("\u009B2J", 100), R"(\xC2\x9B2J)") << "CSI in one character";
  EXPECT_EQ(utf8_printable("\xFF-\xE4\xB8", 100), R"(\xFF-\xE4\xB8)");
}

TEST(Utf8Printable, CutsLongTextsBetweenCharacters) {
  EXPECT_EQ(utf8_printable("abcdef", 4), "abcd...");
  EXPECT_EQ(utf8_printable("abcd", 4), "abcd");
  EXPECT_EQ(utf8_printable("abc\u4E16\u754C", 4), "abc\u4E16...");
  EXPECT_EQ(utf8_printable("", 0), "");
}

}  // namespace
}  // namespace brisk
