#include "tasks/generate.h"

#include <xxhash.h>

#include <numeric>
#include <utility>

#include "base/check.h"
#include "tasks/dice.h"

namespace brisk::tasks {
namespace {

constexpr int kSystemTurnPercent = 6;  // of conversations that have none of their own
// One draw in twenty is of the rarer splits.
constexpr int kDrawsMax = 100'000;

size_t pick_weighted(Dice& dice, std::span<const int> weights) {
  int at = dice.between(1, std::accumulate(weights.begin(), weights.end(), 0));
  for (size_t i = 0; i < weights.size(); ++i) {
    if (at <= weights[i]) return i;
    at -= weights[i];
  }
  BRISK_CHECK(false);
  return 0;
}

const Task& pick_task(const Mix& mix, Dice& dice) {
  std::vector<int> weights = mix.task_weights;
  if (weights.empty()) {
    for (const Task* task : mix.tasks) weights.push_back(task->weight);
  }
  return *mix.tasks[pick_weighted(dice, weights)];
}

Exercise draw_of_split(const Task& task, Level level, Split split, Dice& dice) {
  for (int draws = 0; draws < kDrawsMax; ++draws) {
    Exercise exercise;
    task.draw(level, dice, exercise);
    if (exercise.memorised || split_of_key(exercise.key) == split) return exercise;
  }
  BRISK_CHECK(false);
  return {};
}

}  // namespace

Split split_of_key(std::string_view key) {
  const uint64_t bucket = XXH3_64bits(key.data(), key.size()) % 20;
  if (bucket == 0) return Split::kTest;
  return bucket == 1 ? Split::kValidation : Split::kTrain;
}

Sample generate(const Mix& mix, uint64_t index) {
  Dice dice(mix.seed, index * 3 + static_cast<uint64_t>(mix.split));
  const Task& task = pick_task(mix, dice);
  const auto level = static_cast<Level>(task.leveled ? pick_weighted(dice, mix.level_weights) : 0);
  Exercise exercise = draw_of_split(task, level, mix.split, dice);
  Sample sample;
  sample.task = task.name;
  sample.level = level;
  sample.text = std::move(exercise.text);
  if (!sample.text.empty()) return sample;
  sample.messages = std::move(exercise.before);
  if ((sample.messages.empty() || sample.messages.front().role != Role::kSystem) &&
      dice.percent(kSystemTurnPercent)) {
    sample.messages.insert(sample.messages.begin(),
                           {Role::kSystem, "You are brisk, a helpful assistant."});
  }
  sample.messages.push_back({Role::kUser, std::move(exercise.question)});
  sample.messages.push_back({Role::kAssistant, exercise.work + exercise.answer});
  if (task.graded) sample.answer = std::move(exercise.answer);
  return sample;
}

std::vector<Sample> generate_graded(const Mix& mix, uint64_t count) {
  std::vector<Mix> kinds;
  for (const Task* task : mix.tasks) {
    for (size_t level = 0; level < kLevels; ++level) {
      if (!task->graded || mix.level_weights[level] == 0) continue;
      kinds.push_back({.tasks = {task},
                       .task_weights = {1},
                       .level_weights = {},
                       .split = mix.split,
                       .seed = mix.seed});
      kinds.back().level_weights[level] = 1;
    }
  }
  std::vector<Sample> samples;
  for (uint64_t i = 0; i < count; ++i) {
    for (const Mix& kind : kinds) samples.push_back(generate(kind, i));
  }
  return samples;
}

}  // namespace brisk::tasks
