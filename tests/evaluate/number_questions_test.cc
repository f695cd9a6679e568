#include "compress/evaluate/number_questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace brisk {
namespace {

using testing::HasSubstr;

TEST(LastNumber, IsWrittenInOneWay) {
  const std::pair<const char*, const char*> cases[] = {
      {"42", "42"},
      {"The answer is 42.", "42"},
      {"4 + 38 = 42 apples", "42"},
      {"$1,250.50 in all", "1250.5"},
      {"1,000,000", "1000000"},
      {"it is -07.", "-7"},
      {"-$3", "-3"},
      {"7-5", "5"},
      {"7 - 5", "5"},
      {"0.50", "0.5"},
      {"18.00", "18"},
      {"-0", "0"},
      {"000", "0"},
      {"1, 2, 3", "3"},
      {"version 3.4.5", "4.5"},
      {"1.234,567", "234567"},
      {"50%", "50"},
      {".5", "5"},
  };
  for (const auto& [text, number] : cases) EXPECT_EQ(last_number(text), number) << text;
  for (const char* text : {"", "none", "-", "$.,-"}) {
    EXPECT_FALSE(last_number(text).has_value()) << text;
  }
}

TEST(IsRightNumber, ComparesValues) {
  EXPECT_TRUE(is_right_number("18", "She makes $18.00 every day."));
  EXPECT_TRUE(is_right_number("1250", "16 - 3 = 13\n#### 1,250"));
  EXPECT_FALSE(is_right_number("18", "18 eggs, no, 19"));
  EXPECT_FALSE(is_right_number("18", "-18"));
  EXPECT_FALSE(is_right_number("18", ""));
}

TEST(ParseNumberQuestions, ReadsTheLinesOfGsm8k) {
  const auto samples = parse_number_questions(
      R"({"question": "2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4", "other": 1})"
      "\n\n"
      R"({"question": "How many?", "answer": "about 1,200"})",
      0);
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_EQ(samples->size(), 2u);
  EXPECT_EQ((*samples)[0].messages.front().content, "2 + 2?");
  EXPECT_EQ((*samples)[0].answer, "4");
  EXPECT_EQ((*samples)[1].answer, "1200");
  EXPECT_EQ(parse_number_questions(R"({"question": "a", "answer": "1"})"
                                   "\nnot read",
                                   1)
                ->size(),
            1u);
}

TEST(ParseNumberQuestions, SaysWhatALineLacks) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "no question"},
      {"[]", "line 1: expected an object"},
      {"\n{}", "line 2"},
      {R"({"question": "a"})", "\"answer\""},
      {R"({"question": "a", "answer": 4})", "\"answer\""},
      {R"({"question": "a", "answer": "#### none"})", "no number"},
  };
  for (const auto& [text, message] : cases) {
    const auto samples = parse_number_questions(text, 0);
    ASSERT_FALSE(samples.ok()) << text;
    EXPECT_THAT(std::string(message_of(samples.status())), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace brisk
