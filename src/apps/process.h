// Other programs, started and waited for.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

namespace brisk {

struct ProcessResult {
  int exit_code = 0;   // 128 + N: signal N ended it
  std::string output;  // its standard output; standard error goes where ours goes
};

// Runs words[0] (a path, or a name that is looked for in PATH) and waits for its end.
// Errors: NotFound where there is no such program; Unavailable where it cannot be started;
// ResourceExhausted where it prints more than 64 MiB.
absl::StatusOr<ProcessResult> run_process(const std::vector<std::string>& words);

// A program that is installed with this one: beside it, or else by its name in PATH.
std::string program_beside(const std::string& name);

}  // namespace brisk
