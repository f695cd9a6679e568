// One sample of the task generator: a conversation or a plain text, and the one right answer where
// there is one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace brisk::tasks {

enum class Level : uint8_t { kEasy, kMiddle, kHard };
inline constexpr int kLevels = 3;

enum class Split : uint8_t { kTrain, kValidation, kTest };

enum class Role : uint8_t { kSystem, kUser, kAssistant };

struct Message {
  Role role = Role::kUser;
  std::string content;
};

struct Sample {
  std::string task;
  Level level = Level::kEasy;
  std::vector<Message> messages;  // the last one is the assistant's; empty: a plain text
  std::string text;               // of a plain text
  // What must be the last line of the reply. Nothing: the task is not graded.
  std::optional<std::string> answer;
};

std::string_view name_of(Level level);
std::string_view name_of(Split split);
std::string_view name_of(Role role);

// Nothing when no level, split or role has that name.
std::optional<Level> find_level(std::string_view name);
std::optional<Split> find_split(std::string_view name);
std::optional<Role> find_role(std::string_view name);

// One line of JSON, without the line break: {"messages":[{"role":..,"content":..}],"task":..,
// "level":..,"answer":..}, or {"text":..,"task":..,"level":..}.
std::string to_json_line(const Sample& sample);

}  // namespace brisk::tasks
