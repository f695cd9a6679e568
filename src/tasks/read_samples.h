// Samples from a .jsonl, ours or anybody's.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>
#include <vector>

#include "tasks/sample.h"

namespace brisk::tasks {

// One line of a file of samples. Of "messages" the last one may be missing (only the answer is
// known); plain texts have no answer. Other members are ignored.
// Errors: InvalidArgument with what was expected.
absl::StatusOr<Sample> parse_sample(std::string_view line);

// The samples that have an answer, at most `limit` of them (0: all). Empty lines are skipped.
// Errors: InvalidArgument naming the line, or that no line has an answer.
absl::StatusOr<std::vector<Sample>> parse_graded_samples(std::string_view text, size_t limit);

}  // namespace brisk::tasks
