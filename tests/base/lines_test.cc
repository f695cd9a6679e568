#include "base/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

TEST(ForEachLine, SkipsBlankLinesAndNumbersAll) {
  std::vector<std::string> lines;
  const absl::Status status = for_each_line("a\n\n \t\r\nb\r\nc", [&](std::string_view line) {
    lines.emplace_back(line);
    return line == "c" ? invalid_input("no c") : absl::OkStatus();
  });
  EXPECT_THAT(lines, testing::ElementsAre("a", "b\r", "c"));
  EXPECT_EQ(message_of(status), "line 5: no c");
}

TEST(ForEachLine, EndsAtTheFirstError) {
  int lines = 0;
  const absl::Status status =
      for_each_line("a\nb\n", [&](std::string_view) { return ++lines, invalid_input("wrong"); });
  EXPECT_EQ(message_of(status), "line 1: wrong");
  EXPECT_EQ(lines, 1);
}

}  // namespace
}  // namespace brisk
