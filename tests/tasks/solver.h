// Solves the generator's exercises from what they say, knowing nothing of how they were made.
#pragma once

#include <string>
#include <vector>

#include "tasks/sample.h"

namespace brisk::tasks {

// The answer to the conversation before the sample's last message; empty when the solver does not
// understand it.
std::string solve(const Sample& sample);

// Whether every line of the reply before the last is a sum, difference or product that holds.
bool work_holds(const Sample& sample);

}  // namespace brisk::tasks
