// Recipes of `brisk compress`: whatever the bytes, reading them ends with steps whose flags are
// words of a command line, one each, or with a line that says what was wrong.
#include <cstdlib>
#include <string>
#include <string_view>

#include "compress/recipe/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto recipe =
      brisk::parse_recipe(std::string_view(reinterpret_cast<const char*>(data), size), "r");
  if (!recipe.ok()) {
    if (recipe.status().message().empty()) std::abort();
    return 0;
  }
  if (recipe->steps.empty()) std::abort();
  for (const brisk::RecipeStep& step : recipe->steps) {
    for (const std::string& word : brisk::command_line_of(step.flags, {{"{in}", "model"}})) {
      if (!word.starts_with("--") || word.find('\0') != std::string::npos) std::abort();
    }
  }
  return 0;
}
