// Texts in pieces, as Python's str.split and its sisters cut them. The pieces are views.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>
#include <vector>

#include "model/template/runtime.h"

namespace brisk::jinja {

using Pieces = std::vector<std::string_view>;

// What white space separates; after `splits_max` pieces, from whichever end, the rest stays whole.
absl::StatusOr<Pieces> split_words(Runtime& runtime, std::string_view text, size_t splits_max,
                                   bool from_right);

// What `separator` separates, empty pieces too. REQUIRES: !separator.empty()
absl::StatusOr<Pieces> split_at(Runtime& runtime, std::string_view text, std::string_view separator,
                                size_t splits_max);
absl::StatusOr<Pieces> split_at_from_right(Runtime& runtime, std::string_view text,
                                           std::string_view separator, size_t splits_max);

// The lines, without their ends.
absl::StatusOr<Pieces> lines_of(Runtime& runtime, std::string_view text);

}  // namespace brisk::jinja
