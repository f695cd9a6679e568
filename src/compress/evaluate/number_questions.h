// Questions whose answer is a number, as in GSM8K (Cobbe et al., "Training Verifiers to Solve Math
// Word Problems", 2021): the model works them out in words, and its last number counts.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/sample.h"

namespace brisk {

// The last number in a text, written in one way only: "$1,250.50" gives "1250.5", "-07." gives
// "-7". Nothing when there is none.
std::optional<std::string> last_number(std::string_view text);

// Whether the last number of `reply` is `answer`, itself from last_number().
bool is_right_number(std::string_view answer, std::string_view reply);

// Lines of {"question": "..", "answer": "4 + 38 = 42\n#### 42"}, as conversations of one question,
// their answer the number after the last "####" (without one: the last number). Other members are
// ignored. At most `limit` of them (0: all). Errors: InvalidArgument naming the line, or that there
// is none.
absl::StatusOr<std::vector<tasks::Sample>> parse_number_questions(std::string_view text,
                                                                  size_t limit);

}  // namespace brisk
