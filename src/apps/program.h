// A program of subcommands: one table, and from the command line to the exit code.
#pragma once

#include <vector>

#include "apps/command.h"

namespace brisk {

struct Program {
  const char* name;
  const char* summary;
  std::vector<Command> commands;
};

// Parses the command line and does what it asks for. The exit code: see CommandAction.
int run_program(const Program& program, int argc, char** argv);

}  // namespace brisk
