// Text of many lines, such as a .jsonl.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <string_view>

namespace brisk {

// Calls `read` with every line that is not blank, in order. Errors: the first of `read`, with the
// number of its line in front.
absl::Status for_each_line(std::string_view text,
                           const std::function<absl::Status(std::string_view line)>& read);

}  // namespace brisk
