#include "tasks/generate.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <map>
#include <set>
#include <sstream>
#include <string>

#include "base/json.h"
#include "tasks/read_samples.h"
#include "tests/tasks/solver.h"

namespace brisk::tasks {
namespace {

Mix mix_of(const Task& task, Split split = Split::kTrain, uint64_t seed = 1) {
  return {.tasks = {&task},
          .task_weights = {},
          .level_weights = {1, 1, 1},
          .split = split,
          .seed = seed};
}

Mix mix_of_all(Split split, uint64_t seed) {
  Mix mix;
  for (const Task& task : all_tasks()) mix.tasks.push_back(&task);
  mix.split = split;
  mix.seed = seed;
  return mix;
}

class EveryTask : public testing::TestWithParam<const Task*> {};

INSTANTIATE_TEST_SUITE_P(Tasks, EveryTask, testing::ValuesIn([] {
                           std::vector<const Task*> tasks;
                           for (const Task& task : all_tasks()) tasks.push_back(&task);
                           return tasks;
                         }()),
                         [](const auto& param) { return std::string(param.param->name); });

TEST_P(EveryTask, AnswersWhatAnIndependentSolverAnswers) {
  const Task& task = *GetParam();
  if (!task.graded) GTEST_SKIP() << "has no single answer";
  for (uint64_t i = 0; i < 3000; ++i) {
    const Sample sample = generate(mix_of(task), i);
    ASSERT_EQ(solve(sample), *sample.answer) << to_json_line(sample);
  }
}

TEST(Generate, EveryQuestionAboutOneTableStoryOrListIsAnsweredRight) {
  for (const char* name : {"lookup", "who", "count"}) {
    int later = 0;
    for (uint64_t i = 0; i < 3000; ++i) {
      const Sample whole = generate(mix_of(*find_task(name)), i);
      Sample part = whole;
      part.messages.clear();
      for (const Message& message : whole.messages) {
        part.messages.push_back(message);
        if (message.role != Role::kAssistant) continue;
        const std::string& reply = message.content;
        ASSERT_EQ(solve(part), reply.substr(reply.rfind('\n') + 1)) << to_json_line(whole);
        later += part.messages.size() > 3 ? 1 : 0;
      }
    }
    EXPECT_GT(later, 1000) << name;
  }
}

// "o0 s0 r1": each item, and how many there were of what is counted.
TEST(Generate, CountsItemByItem) {
  for (uint64_t i = 0; i < 1000; ++i) {
    const Sample sample = generate(mix_of(*find_task("count")), i);
    std::istringstream work(sample.messages.back().content);
    std::string item;
    int before = 0;
    std::string counted;
    while (work >> item && !std::isdigit(static_cast<unsigned char>(item[0]))) {
      const int now = std::stoi(item.substr(1));
      const bool is_counted = now == before + 1;
      ASSERT_TRUE(is_counted || now == before) << to_json_line(sample);
      if (is_counted) counted += item[0];
      before = now;
    }
    EXPECT_EQ(item, *sample.answer);
    EXPECT_EQ(counted, std::string(counted.size(), counted.empty() ? ' ' : counted[0]));
  }
}

TEST_P(EveryTask, RepliesWithTheAnswerOnTheLastLine) {
  const Task& task = *GetParam();
  for (uint64_t i = 0; i < 300; ++i) {
    const Sample sample = generate(mix_of(task), i);
    ASSERT_EQ(sample.answer.has_value(), task.graded);
    if (!task.graded) continue;
    const std::string& reply = sample.messages.back().content;
    ASSERT_EQ(sample.messages.back().role, Role::kAssistant);
    ASSERT_EQ(reply.substr(reply.rfind('\n') + 1), *sample.answer);
    const bool works = task.name == "add" || task.name == "subtract" || task.name == "multiply";
    if (works) {
      ASSERT_TRUE(work_holds(sample)) << reply;
    }
  }
}

TEST_P(EveryTask, HasLevelsThatGrow) {
  const Task& task = *GetParam();
  if (!task.leveled) GTEST_SKIP() << "has one level";
  std::array<size_t, kLevels> bytes{};
  for (int level = 0; level < kLevels; ++level) {
    Mix mix = mix_of(task);
    mix.level_weights = {};
    mix.level_weights[static_cast<size_t>(level)] = 1;
    for (uint64_t i = 0; i < 200; ++i) {
      const Sample sample = generate(mix, i);
      ASSERT_EQ(static_cast<int>(sample.level), level);
      bytes[static_cast<size_t>(level)] += to_json_line(sample).size();
    }
  }
  EXPECT_LT(bytes[0], bytes[1]);
  EXPECT_LT(bytes[1], bytes[2]);
}

TEST_P(EveryTask, IsReadBackAsItWasWritten) {
  for (uint64_t i = 0; i < 100; ++i) {
    const Sample sample = generate(mix_of(*GetParam()), i);
    const auto read = parse_sample(to_json_line(sample));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(to_json_line(*read), to_json_line(sample));
  }
}

// The table, the story or the list that questions are about, without them.
std::string what_is_given(const Sample& sample) {
  const size_t first = sample.messages[0].role == Role::kSystem ? 1 : 0;
  const std::string& turn = sample.messages[first].content;
  if (sample.task == "count") return turn.substr(turn.find(": "));
  return turn.substr(0, turn.rfind(sample.task == "lookup" ? "\n" : ". "));
}

// What identifies an exercise for somebody who sees only samples: the numbers or the list, however
// the question is phrased.
std::string essence(const Sample& sample) {
  const std::string& task = sample.task;
  if (task == "lookup" || task == "who" || task == "count") {
    return task + ' ' + what_is_given(sample);
  }
  std::string text = task + ' ' + *sample.answer;
  for (size_t i = 0; i + 1 < sample.messages.size(); ++i) {
    const std::string& content = sample.messages[i].content;
    if (sample.messages[i].role == Role::kSystem && content.starts_with("You are")) continue;
    const size_t colon = content.find(": ");
    std::string digits;
    for (const char c : content) digits += c >= '0' && c <= '9' ? c : ' ';
    const bool sums = task == "add" || task == "subtract" || task == "multiply";
    text += '|' + (sums ? digits : colon != std::string::npos ? content.substr(colon) : content);
  }
  return text;
}

bool is_memorised(const Sample& sample) {
  if (sample.level != Level::kEasy) return false;
  const std::string& question = sample.messages[sample.messages.size() - 2].content;
  return sample.task == "multiply" || question.starts_with("True or false");
}

TEST_P(EveryTask, SharesNoExerciseBetweenSplitsWhateverTheSeed) {
  const Task& task = *GetParam();
  if (!task.graded) GTEST_SKIP() << "is not graded";
  std::map<std::string, Split> seen;
  for (const Split split : {Split::kTest, Split::kValidation, Split::kTrain}) {
    for (uint64_t i = 0; i < 6000; ++i) {
      const Sample sample = generate(mix_of(task, split, i % 3), i);
      if (is_memorised(sample)) continue;
      const auto [it, is_new] = seen.emplace(essence(sample), split);
      ASSERT_EQ(static_cast<int>(it->second), static_cast<int>(split)) << to_json_line(sample);
    }
  }
}

TEST(Generate, ATurnedSumIsTheSameExercise) {
  std::map<std::set<std::string>, Split> seen;
  const Task& add = *find_task("add");
  for (const Split split : {Split::kTest, Split::kTrain}) {
    for (uint64_t i = 0; i < 4000; ++i) {
      const Sample sample = generate(mix_of(add, split), i);
      std::set<std::string> numbers;
      std::string number;
      for (const char c : sample.messages[sample.messages.size() - 2].content + ' ') {
        if (c >= '0' && c <= '9') {
          number += c;
        } else if (!number.empty()) {
          numbers.insert(std::exchange(number, ""));
        }
      }
      ASSERT_EQ(seen.emplace(numbers, split).first->second, split);
    }
  }
}

TEST(Generate, NoStoryIsInTwoSplits) {
  std::set<std::string> tested;
  const Task& story = *find_task("story");
  for (uint64_t i = 0; i < 3000; ++i) tested.insert(generate(mix_of(story, Split::kTest), i).text);
  EXPECT_GT(tested.size(), 2990u) << "stories repeat";
  for (const char* name : {"story", "tell"}) {
    for (uint64_t i = 0; i < 3000; ++i) {
      const Sample sample = generate(mix_of(*find_task(name)), i);
      const std::string& text =
          sample.messages.empty() ? sample.text : sample.messages.back().content;
      ASSERT_FALSE(tested.contains(text)) << text;
    }
  }
}

TEST(Generate, AStoryIsAboutWhatWasAskedFor) {
  for (uint64_t i = 0; i < 500; ++i) {
    const Sample sample = generate(mix_of(*find_task("tell")), i);
    const std::string& story = sample.messages.back().content;
    std::string asked = sample.messages[sample.messages.size() - 2].content;
    const size_t about = asked.find("about ");
    if (about == std::string::npos) continue;
    asked = asked.substr(about + 6);
    std::string word;
    for (const char c : asked + ' ') {
      if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
        word += c;
        continue;
      }
      const bool means_nothing =
          word.empty() || std::set<std::string>{"a", "an", "and", "named", "please"}.contains(word);
      if (!means_nothing) {
        ASSERT_NE(story.find(word), std::string::npos) << asked << '\n' << story;
      }
      word.clear();
    }
  }
}

TEST(Generate, ASampleDependsOnSeedSplitAndIndexOnly) {
  const Mix mix = mix_of_all(Split::kTrain, 7);
  EXPECT_EQ(to_json_line(generate(mix, 41)), to_json_line(generate(mix, 41)));
  EXPECT_NE(to_json_line(generate(mix, 41)), to_json_line(generate(mix, 42)));
  EXPECT_NE(to_json_line(generate(mix, 41)),
            to_json_line(generate(mix_of_all(Split::kTrain, 8), 41)));
}

// Models are trained on these samples: a change here is a change of their data, and is meant.
TEST(Generate, WritesTheSameBytesEverywhere) {
  std::string lines;
  for (uint64_t i = 0; i < 20000; ++i) {
    (lines += to_json_line(generate(mix_of_all(Split::kTrain, 1), i))) += '\n';
  }
  EXPECT_EQ(XXH3_64bits(lines.data(), lines.size()), 16280461790361545002u);
}

TEST(Generate, AMixHasLevelsAndTasksByWeight) {
  const Mix mix = mix_of_all(Split::kTrain, 3);
  std::array<int, kLevels> levels{};
  std::map<std::string, int> tasks;
  int leveled = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    const Sample sample = generate(mix, i);
    ++tasks[sample.task];
    if (!find_task(sample.task)->leveled) continue;
    ++leveled;
    ++levels[static_cast<size_t>(sample.level)];
  }
  EXPECT_EQ(tasks.size(), all_tasks().size());
  EXPECT_NEAR(levels[0], 0.50 * leveled, 0.02 * leveled);
  EXPECT_NEAR(levels[1], 0.35 * leveled, 0.02 * leveled);
  EXPECT_NEAR(levels[2], 0.15 * leveled, 0.02 * leveled);
}

TEST(Generate, GivenWeightsReplaceTheTasksOwn) {
  Mix mix = {.tasks = {find_task("add"), find_task("story"), find_task("sort")},
             .task_weights = {3, 0, 1}};
  int added = 0;
  for (uint64_t i = 0; i < 4000; ++i) {
    const Sample sample = generate(mix, i);
    ASSERT_NE(sample.task, "story");
    added += sample.task == "add" ? 1 : 0;
  }
  EXPECT_NEAR(added, 3000, 120);
}

TEST(GenerateGraded, GivesAsManyOfEveryTaskAndLevel) {
  const std::vector<Sample> samples = generate_graded(mix_of_all(Split::kTest, 1), 3);
  std::map<std::string, int> counts;
  for (const Sample& sample : samples) {
    ++counts[sample.task + std::string(name_of(sample.level))];
    ASSERT_TRUE(sample.answer.has_value());
  }
  EXPECT_EQ(counts.size(), 15u * 3);
  for (const auto& [what, count] : counts) EXPECT_EQ(count, 3) << what;
}

}  // namespace
}  // namespace brisk::tasks
