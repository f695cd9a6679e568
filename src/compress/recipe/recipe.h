// A recipe: how a small model is made of a large one, step by step, and what it has to hold to be
// published. TOML (toml.io):
//
//   [[step]]
//   run = "prune"             # a command; every other key is one of its flags, without the dashes
//   channels = 0.5            # --channels=0.5
//   calibration = "a.jsonl"
//
//   [gate]                    # likewise, of the result against the model it came from
//   evaluate = "b.jsonl"
//   max-kl = 0.1
//
// A string or number is the flag's value, an array gives the flag several times, true gives it
// without a value, false leaves it out. In strings {in} stands for the model that the recipe starts
// from, {work} for the directory in which the steps leave what they make.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace brisk {

struct RecipeFlag {
  std::string name;                 // without dashes
  std::vector<std::string> values;  // of a switch: none
  bool operator==(const RecipeFlag&) const = default;
};

struct RecipeStep {
  std::string command;  // "prune", "tasks generate"
  std::vector<RecipeFlag> flags;
};

struct Recipe {
  std::vector<RecipeStep> steps;  // at least one
  std::vector<RecipeFlag> gate;
};

// Errors begin with `name` and the line or the step that is wrong. What commands and flags there
// are is not known here.
absl::StatusOr<Recipe> parse_recipe(std::string_view toml, std::string_view name);

// "--name=value" for every value, "--name" for a switch; `replace` is {from, to} pairs.
std::vector<std::string> command_line_of(
    const std::vector<RecipeFlag>& flags,
    const std::vector<std::pair<std::string, std::string>>& replace);

}  // namespace brisk
