#include "apps/task_flags.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/status.h"

namespace brisk {
namespace {

constexpr int kWeightMax = 1'000'000;

struct NamedWeight {
  std::string name;
  std::optional<int> weight;
};

// "sort" or "sort:2".
absl::StatusOr<NamedWeight> parse_name(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return NamedWeight{text, std::nullopt};
  int weight = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, weight);
  if (error != std::errc() || stop != end || weight < 0 || weight > kWeightMax) {
    return invalid_input("'{}' has no weight from 0 to {} behind its colon", text, kWeightMax);
  }
  return NamedWeight{text.substr(0, colon), weight};
}

void put(const tasks::Task& task, std::optional<int> weight, tasks::Mix* mix) {
  const auto it = std::find(mix->tasks.begin(), mix->tasks.end(), &task);
  if (it == mix->tasks.end()) {
    mix->tasks.push_back(&task);
    mix->task_weights.push_back(weight.value_or(task.weight));
  } else if (weight.has_value()) {
    mix->task_weights[static_cast<size_t>(it - mix->tasks.begin())] = *weight;
  }
}

absl::Status add_tasks(const std::vector<std::string>& names, tasks::Mix* mix) {
  for (const std::string& text : names) {
    BRISK_ASSIGN_OR_RETURN(const NamedWeight named, parse_name(text));
    const tasks::Task* task = tasks::find_task(named.name);
    if (task == nullptr && named.name != "all") {
      return invalid_input("there is no task '{}'; `brisk tasks list` shows those there are",
                           named.name);
    }
    if (task != nullptr) {
      put(*task, named.weight, mix);
    } else {
      for (const tasks::Task& each : tasks::all_tasks()) put(each, named.weight, mix);
    }
  }
  const auto has_weight = [](int weight) { return weight > 0; };
  if (std::none_of(mix->task_weights.begin(), mix->task_weights.end(), has_weight)) {
    return invalid_input("no task is left to draw; `--task all` takes all of them");
  }
  return absl::OkStatus();
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
  BRISK_RETURN_IF_ERROR(add_tasks(names, &mix));
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
