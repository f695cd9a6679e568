// The strings that a schema allows: by length, pattern and format.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "engine/grammar/grammar.h"
#include "engine/grammar/json_text.h"

namespace brisk {

struct StringSchema {
  std::optional<int> length_min{};  // in characters
  std::optional<int> length_max{};
  std::optional<std::string> pattern{};
  std::optional<std::string> format{};
};

// With its quotation marks. Errors: InvalidArgument, naming the keyword.
absl::StatusOr<ExprId> string_schema_expr(const StringSchema& schema, JsonText* text,
                                          Grammar* grammar);

}  // namespace brisk
