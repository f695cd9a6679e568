// Python's methods of str.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "model/template/runtime.h"
#include "model/template/value.h"

namespace brisk::jinja {

std::span<const Native> text_methods();

// `text` with its first `count` occurrences of `old` replaced; all of them when count is negative.
absl::StatusOr<Value> replaced(Runtime& runtime, std::string_view text, std::string_view old,
                               std::string_view replacement, int64_t count);

}  // namespace brisk::jinja
