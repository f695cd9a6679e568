#include "apps/command_line.h"

#include <fmt/ranges.h>

namespace brisk {

std::string command_line(const CLI::App& app) {
  std::string text = "brisk " + app.get_name();
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || name == "--api-key" || name.starts_with("--help")) continue;
    const bool is_flag = option->get_expected_max() == 0;
    if (option->get_positional()) {
      text += fmt::format(" {}", fmt::join(option->results(), " "));
    } else if (is_flag) {
      text += " " + name;
    } else {
      text += fmt::format(" {} {}", name, fmt::join(option->results(), ","));
    }
  }
  return text;
}

}  // namespace brisk
