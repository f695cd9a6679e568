// Which tasks are drawn: options that `brisk tasks` and `brisk eval --tasks` share.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "tasks/generate.h"

namespace brisk {

struct TaskFlags {
  std::vector<std::string> levels = {"easy", "middle", "hard"};
  std::vector<int> level_weights = {};  // empty: 50, 35, 15 of easy, middle, hard
  std::string split = "train";
  uint64_t seed = 1;
};

void add_task_options(CLI::App& app, TaskFlags* flags);

// `names` are tasks or "all", each perhaps with a weight: "all", "add,sort:2", "all,story:1". Later
// ones override earlier ones. Errors: InvalidArgument naming what there is.
absl::StatusOr<tasks::Mix> make_mix(const std::vector<std::string>& names, const TaskFlags& flags);

}  // namespace brisk
