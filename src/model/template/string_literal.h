// The inside of a string literal with its escapes resolved, as Python's "unicode-escape" does it.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace brisk::jinja {

// Unknown escapes stay as they are. Errors: InvalidArgument for a truncated \x, \u or \U, a
// character that does not exist, or \N{name}. REQUIRES: `literal` is UTF-8.
absl::StatusOr<std::string> unescaped(std::string_view literal);

}  // namespace brisk::jinja
