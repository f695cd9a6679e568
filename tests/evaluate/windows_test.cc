#include "compress/evaluate/windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace brisk {
namespace {

using testing::ElementsAre;

constexpr int32_t kBos = 1000;

std::vector<Window> cut(const std::vector<int32_t>& tokens, const WindowSizes& sizes) {
  WindowCutter cutter(tokens, sizes);
  std::vector<Window> windows;
  for (Window window; cutter.next(&window);) windows.push_back(window);
  return windows;
}

std::vector<int32_t> tokens_to(int count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

TEST(WindowCutter, WindowsThatDoNotOverlapEachBeginWithBos) {
  const auto windows = cut(tokens_to(5), {.context = 3, .stride = 0, .bos = kBos});
  ASSERT_EQ(windows.size(), 3u);
  EXPECT_THAT(windows[0].tokens, ElementsAre(kBos, 0, 1));
  EXPECT_THAT(windows[1].tokens, ElementsAre(kBos, 2, 3));
  EXPECT_THAT(windows[2].tokens, ElementsAre(kBos, 4));
  for (const Window& window : windows) EXPECT_EQ(window.first, 1);
}

TEST(WindowCutter, WindowsThatOverlapPredictOnlyWhatIsNew) {
  const auto windows = cut(tokens_to(7), {.context = 5, .stride = 2, .bos = kBos});
  ASSERT_EQ(windows.size(), 3u);
  EXPECT_THAT(windows[0].tokens, ElementsAre(kBos, 0, 1, 2, 3));
  EXPECT_EQ(windows[0].first, 1);
  EXPECT_THAT(windows[1].tokens, ElementsAre(kBos, 2, 3, 4, 5));
  EXPECT_EQ(windows[1].first, 3);
  EXPECT_THAT(windows[2].tokens, ElementsAre(kBos, 4, 5, 6));
  EXPECT_EQ(windows[2].first, 3);
}

TEST(WindowCutter, WithoutBosTheFirstTokenIsOnlyGiven) {
  const auto windows = cut(tokens_to(3), {.context = 2, .stride = 0, .bos = -1});
  ASSERT_EQ(windows.size(), 1u) << "the third token stands alone: nothing predicts it";
  EXPECT_THAT(windows[0].tokens, ElementsAre(0, 1));
  EXPECT_TRUE(cut({7}, {.context = 9, .stride = 0, .bos = -1}).empty());
  EXPECT_TRUE(cut({}, {.context = 9, .stride = 0, .bos = kBos}).empty());
}

// Whatever the sizes: each token is predicted once, in order, with at least context - stride before
// it where the text has so many.
TEST(WindowCutter, EveryTokenIsPredictedOnce) {
  for (int count = 1; count <= 40; ++count) {
    const std::vector<int32_t> tokens = tokens_to(count);
    for (int64_t context = 2; context <= 12; ++context) {
      for (int64_t stride = 0; stride <= 13; ++stride) {
        std::vector<int32_t> predicted;
        for (const Window& window : cut(tokens, {context, stride, kBos})) {
          ASSERT_LE(static_cast<int64_t>(window.tokens.size()), context);
          ASSERT_GE(window.first, 1);
          if (!predicted.empty() && stride > 0) {
            ASSERT_GE(window.first, std::max<int64_t>(1, context - stride)) << context << stride;
          }
          predicted.insert(predicted.end(), window.tokens.begin() + window.first,
                           window.tokens.end());
        }
        ASSERT_EQ(predicted, tokens) << count << " " << context << " " << stride;
      }
    }
  }
}

}  // namespace
}  // namespace brisk
