// The tasks, one a row.
#pragma once

#include <span>
#include <string_view>

#include "tasks/exercise.h"

namespace brisk::tasks {

struct Task {
  std::string_view name;
  std::string_view summary;
  bool graded;   // has one right answer
  bool leveled;  // differs by level; else every sample is easy
  int weight;    // share of a mix of all tasks
  DrawExercise draw;
};

std::span<const Task> all_tasks();

// Null when there is none of that name.
const Task* find_task(std::string_view name);

}  // namespace brisk::tasks
