// The command line that a report repeats.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace brisk {

// "brisk load --rate 4": what was asked of a subcommand, without keys.
std::string command_line(const CLI::App& app);

}  // namespace brisk
