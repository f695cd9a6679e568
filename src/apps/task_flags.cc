#include "apps/task_flags.h"

#include <algorithm>

#include "base/status.h"

namespace brisk {
namespace {

absl::StatusOr<std::vector<const tasks::Task*>> find_tasks(const std::vector<std::string>& names) {
  std::vector<const tasks::Task*> found;
  const auto add = [&](const tasks::Task& task) {
    if (std::find(found.begin(), found.end(), &task) == found.end()) found.push_back(&task);
  };
  for (const std::string& name : names) {
    const tasks::Task* task = tasks::find_task(name);
    if (task == nullptr && name != "all") {
      return invalid_input("there is no task '{}'; `brisk tasks list` shows those there are", name);
    }
    if (task != nullptr) {
      add(*task);
    } else {
      for (const tasks::Task& each : tasks::all_tasks()) add(each);
    }
  }
  if (found.empty()) return invalid_input("no task was named; `--task all` takes all of them");
  return found;
}

}  // namespace

void add_task_options(CLI::App& app, TaskFlags* flags) {
  app.add_option("--level", flags->levels, "Levels to draw from: easy, middle, hard")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--level-weights", flags->level_weights,
                 "How often each of them is drawn, in that order [50,35,15 of easy, middle, hard]")
      ->delimiter(',')
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--split", flags->split,
                 "train, validation or test: no exercise is in two of them, whatever the seed")
      ->capture_default_str();
  app.add_option("--seed", flags->seed, "The same seed gives the same samples")
      ->capture_default_str();
}

absl::StatusOr<tasks::Mix> make_mix(const std::vector<std::string>& names, const TaskFlags& flags) {
  tasks::Mix mix;
  mix.seed = flags.seed;
  BRISK_ASSIGN_OR_RETURN(mix.tasks, find_tasks(names));
  const auto split = tasks::find_split(flags.split);
  if (!split.has_value()) {
    return invalid_input("there is no split '{}': use train, validation or test", flags.split);
  }
  mix.split = *split;
  if (!flags.level_weights.empty() && flags.level_weights.size() != flags.levels.size()) {
    return invalid_input("{} levels have {} weights: give one for each", flags.levels.size(),
                         flags.level_weights.size());
  }
  const auto usual = mix.level_weights;
  mix.level_weights = {};
  int64_t total = 0;
  for (size_t i = 0; i < flags.levels.size(); ++i) {
    const auto level = tasks::find_level(flags.levels[i]);
    if (!level.has_value()) {
      return invalid_input("there is no level '{}': use easy, middle or hard", flags.levels[i]);
    }
    const auto at = static_cast<size_t>(*level);
    mix.level_weights[at] = flags.level_weights.empty() ? usual[at] : flags.level_weights[i];
  }
  for (const int weight : mix.level_weights) total += weight;
  if (total == 0) return invalid_input("every level has the weight 0");
  return mix;
}

}  // namespace brisk
