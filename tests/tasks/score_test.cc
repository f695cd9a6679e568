#include "tasks/score.h"

#include <gtest/gtest.h>

namespace brisk::tasks {
namespace {

TEST(IsRight, LooksAtTheLastLineThatIsNotBlank) {
  EXPECT_TRUE(is_right("85", "85"));
  EXPECT_TRUE(is_right("85", "7+8=15\n4+3+1=8\n85"));
  EXPECT_TRUE(is_right("85", " 85 \r\n\n"));
  EXPECT_FALSE(is_right("85", "85\n86"));
  EXPECT_FALSE(is_right("85", "185"));
  EXPECT_FALSE(is_right("85", "The answer is 85"));
  EXPECT_FALSE(is_right("85", ""));
  EXPECT_FALSE(is_right("a b", "a  b"));
}

// Figures from Wilson's formula worked out in Python with decimals.
TEST(WilsonInterval, EqualsKnownFigures) {
  const Interval half = wilson_interval(50, 100);
  EXPECT_NEAR(half.low, 0.403831, 1e-6);
  EXPECT_NEAR(half.high, 0.596169, 1e-6);
  const Interval all = wilson_interval(20, 20);
  EXPECT_NEAR(all.low, 0.838875, 1e-6);
  EXPECT_DOUBLE_EQ(all.high, 1);
  const Interval none = wilson_interval(0, 10);
  EXPECT_DOUBLE_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.277533, 1e-6);
}

TEST(WilsonInterval, OfNothingIsEverything) {
  EXPECT_EQ(wilson_interval(0, 0).low, 0);
  EXPECT_EQ(wilson_interval(0, 0).high, 1);
}

TEST(ScoreBoard, CountsByTaskAndLevel) {
  ScoreBoard board;
  Sample sample;
  sample.task = "add";
  board.add(sample, true);
  board.add(sample, false);
  sample.task = "sort";
  sample.level = Level::kHard;
  board.add(sample, true);
  EXPECT_EQ(board.tasks["add"].levels[0].right, 1);
  EXPECT_EQ(board.tasks["add"].all.total, 2);
  EXPECT_EQ(board.tasks["sort"].levels[2].total, 1);
  EXPECT_EQ(board.all.all.total, 3);
  EXPECT_NEAR(board.all.all.rate(), 2.0 / 3, 1e-12);
}

}  // namespace
}  // namespace brisk::tasks
