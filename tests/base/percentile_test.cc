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
}

}  // namespace
}  // namespace brisk
