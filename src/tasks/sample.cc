#include "tasks/sample.h"

#include <fmt/format.h>

#include <array>

namespace brisk::tasks {
namespace {

constexpr std::array<std::string_view, 3> kLevelNames = {"easy", "middle", "hard"};
constexpr std::array<std::string_view, 3> kSplitNames = {"train", "validation", "test"};
constexpr std::array<std::string_view, 3> kRoleNames = {"system", "user", "assistant"};

template <class Enum>
std::optional<Enum> find(const std::array<std::string_view, 3>& names, std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_field(std::string& out, std::string_view key, std::string_view value) {
  out += out.back() == '{' ? "\"" : ",\"";
  out += key;
  out += "\":";
  append_quoted(out, value);
}

}  // namespace

std::string_view name_of(Level level) { return kLevelNames[static_cast<size_t>(level)]; }
std::string_view name_of(Split split) { return kSplitNames[static_cast<size_t>(split)]; }
std::string_view name_of(Role role) { return kRoleNames[static_cast<size_t>(role)]; }

std::optional<Level> find_level(std::string_view name) { return find<Level>(kLevelNames, name); }
std::optional<Split> find_split(std::string_view name) { return find<Split>(kSplitNames, name); }
std::optional<Role> find_role(std::string_view name) { return find<Role>(kRoleNames, name); }

std::string to_json_line(const Sample& sample) {
  std::string line = "{";
  if (sample.messages.empty()) {
    append_field(line, "text", sample.text);
  } else {
    line += "\"messages\":[";
    for (const Message& message : sample.messages) {
      line += line.back() == '[' ? "{" : ",{";
      append_field(line, "role", name_of(message.role));
      append_field(line, "content", message.content);
      line += '}';
    }
    line += ']';
  }
  append_field(line, "task", sample.task);
  append_field(line, "level", name_of(sample.level));
  if (sample.answer.has_value()) append_field(line, "answer", *sample.answer);
  return line + '}';
}

}  // namespace brisk::tasks
