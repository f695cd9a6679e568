#include "compress/recipe/recipe.h"

#include <absl/strings/str_replace.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;
constexpr size_t kStepsMax = 100;
constexpr size_t kValuesMax = 1000;

// `where` begins every error: "recipe.toml: step 2".
struct Reader {
  std::string where;

  template <class... Args>
  absl::Status wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return annotate(invalid_input(format, std::forward<Args>(args)...), where);
  }

  absl::StatusOr<std::string> scalar(std::string_view key, const toml::node& node) const {
    if (const auto text = node.value_exact<std::string>()) {
      if (text->find('\0') != std::string::npos) return wrong("{}: has a zero byte", key);
      return *text;
    }
    if (const auto number = node.value_exact<int64_t>()) return fmt::format("{}", *number);
    if (const auto number = node.value_exact<double>(); number && std::isfinite(*number)) {
      return fmt::format("{}", *number);
    }
    return wrong("{}: must be a string, a number, true, false, or an array of these", key);
  }

  absl::StatusOr<std::optional<RecipeFlag>> flag(std::string_view key,
                                                 const toml::node& node) const {
    const auto is_name = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (key.empty() || !is_name(key.front()) ||
        !std::ranges::all_of(key, [&](char c) { return is_name(c) || c == '-'; })) {
      return wrong("\"{}\" is not the name of a flag, such as max-kl", key);
    }
    RecipeFlag flag = {.name = std::string(key), .values = {}};
    if (const auto on = node.value_exact<bool>()) {
      return *on ? std::optional<RecipeFlag>(std::move(flag)) : std::nullopt;
    }
    const toml::array* array = node.as_array();
    if (array == nullptr) {
      BRISK_ASSIGN_OR_RETURN(flag.values.emplace_back(), scalar(key, node));
      return flag;
    }
    if (array->empty() || array->size() > kValuesMax) {
      return wrong("{}: an array of 1 to {} values is needed, not of {}", key, kValuesMax,
                   array->size());
    }
    for (const toml::node& each : *array) {
      BRISK_ASSIGN_OR_RETURN(flag.values.emplace_back(), scalar(key, each));
    }
    return flag;
  }

  // All of the table's keys but `except`.
  absl::StatusOr<std::vector<RecipeFlag>> flags(const toml::table& table,
                                                std::string_view except = {}) const {
    std::vector<RecipeFlag> flags;
    for (const auto& [key, node] : table) {
      if (key.str() == except) continue;
      BRISK_ASSIGN_OR_RETURN(auto flag, this->flag(key.str(), node));
      if (flag) flags.push_back(*std::move(flag));
    }
    return flags;
  }
};

absl::StatusOr<RecipeStep> read_step(const toml::node& node, const Reader& reader) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return reader.wrong("must be a table: [[step]]");
  RecipeStep step;
  const auto command = (*table)["run"].value_exact<std::string>();
  if (!command || command->empty()) {
    return reader.wrong("run: must name a command, such as \"prune\"");
  }
  step.command = *command;
  BRISK_ASSIGN_OR_RETURN(step.flags, reader.flags(*table, "run"));
  return step;
}

absl::StatusOr<Recipe> read_recipe(const toml::table& file, std::string_view name) {
  Recipe recipe;
  for (const auto& [key, node] : file) {
    if (key.str() == "step" && node.is_array()) {
      const toml::array& steps = *node.as_array();
      if (steps.size() > kStepsMax) {
        return invalid_input("{}: {} steps; at most {} are possible", name, steps.size(),
                             kStepsMax);
      }
      for (const toml::node& step : steps) {
        const Reader reader{fmt::format("{}: step {}", name, recipe.steps.size() + 1)};
        BRISK_ASSIGN_OR_RETURN(recipe.steps.emplace_back(), read_step(step, reader));
      }
    } else if (key.str() == "gate" && node.is_table()) {
      const Reader reader{fmt::format("{}: gate", name)};
      BRISK_ASSIGN_OR_RETURN(recipe.gate, reader.flags(*node.as_table()));
    } else {
      return invalid_input("{}: \"{}\": a recipe has [[step]] tables and one table [gate]", name,
                           key.str());
    }
  }
  if (recipe.steps.empty()) return invalid_input("{}: has no [[step]]", name);
  return recipe;
}

}  // namespace

absl::StatusOr<Recipe> parse_recipe(std::string_view toml, std::string_view name) {
  if (toml.size() > kFileBytesMax) {
    return invalid_input("{}: {} bytes; a recipe has at most {}", name, toml.size(), kFileBytesMax);
  }
  try {
    return read_recipe(toml::parse(toml), name);
  } catch (const toml::parse_error& error) {
    return invalid_input("{}: line {}: {}", name, error.source().begin.line, error.description());
  }
}

std::vector<std::string> command_line_of(
    const std::vector<RecipeFlag>& flags,
    const std::vector<std::pair<std::string, std::string>>& replace) {
  std::vector<std::string> words;
  for (const RecipeFlag& flag : flags) {
    if (flag.values.empty()) words.push_back("--" + flag.name);
    for (const std::string& value : flag.values) {
      words.push_back(fmt::format("--{}={}", flag.name, absl::StrReplaceAll(value, replace)));
    }
  }
  return words;
}

}  // namespace brisk
