// Conclusions from the sentences of a logic exercise.
#pragma once

#include <string>

namespace brisk::tasks {

// "yes", "no", "true", "false" or a name; empty when nothing follows.
std::string solve_logic(const std::string& question);

}  // namespace brisk::tasks
