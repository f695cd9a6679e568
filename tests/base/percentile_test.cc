#include "base/percentile.h"

#include <gtest/gtest.h>

#include <vector>

namespace brisk {
namespace {

TEST(Percentile, AgreesWithNumpy) {
  const std::vector<double> values = {15, 20, 35, 40, 50};
  EXPECT_DOUBLE_EQ(percentile(values, 0), 15);
  EXPECT_DOUBLE_EQ(percentile(values, 0.4), 29);
  EXPECT_DOUBLE_EQ(percentile(values, 0.9), 46);
  EXPECT_DOUBLE_EQ(percentile(values, 1), 50);
  const Summary summary = summarize({50, 15, 40, 20, 35});
  EXPECT_DOUBLE_EQ(summary.mean, 32);
  EXPECT_DOUBLE_EQ(summary.median, 35);
  EXPECT_DOUBLE_EQ(summary.p99, 49.6);
  EXPECT_DOUBLE_EQ(summary.max, 50);
  EXPECT_EQ(summarize({}).count, 0);
  EXPECT_DOUBLE_EQ(summarize({7}).p90, 7);
}

}  // namespace
}  // namespace brisk
