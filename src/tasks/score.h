// How many answers are right, and how sure that is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tasks/sample.h"

namespace brisk::tasks {

// Whether the last line of `reply` that is not blank is `answer`, blanks around it aside.
bool is_right(std::string_view answer, std::string_view reply);

struct Interval {
  double low = 0;
  double high = 1;
};

// The 95 % confidence interval of a share.
// Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 22, 1927).
Interval wilson_interval(int64_t right, int64_t total);

struct Score {
  int64_t right = 0;
  int64_t total = 0;

  void add(bool is_right);
  double rate() const;  // 0 of nothing
  Interval interval() const { return wilson_interval(right, total); }
};

struct TaskScore {
  std::array<Score, kLevels> levels;
  Score all;
};

struct ScoreBoard {
  std::map<std::string, TaskScore> tasks;
  TaskScore all;

  void add(const Sample& sample, bool right);
};

}  // namespace brisk::tasks
