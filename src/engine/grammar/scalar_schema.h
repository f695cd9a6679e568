// The keywords of a schema that are about one string or number, read and checked.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/json_text.h"

namespace brisk {

// What is wrong with a keyword of the schema at `path`.
absl::Status schema_fault(const std::string& path, std::string_view keyword, std::string_view what);

// A count, such as minItems; nothing when absent. Errors: InvalidArgument, as below.
absl::StatusOr<std::optional<int>> count_of(const OrderedJson& schema, const char* keyword,
                                            const std::string& path);

// `schema` is an object and its type a string, or a number. Errors: InvalidArgument, with the path
// and the keyword.
absl::StatusOr<ExprId> string_schema(const OrderedJson& schema, const std::string& path,
                                     JsonText* text, Grammar* grammar);
absl::StatusOr<ExprId> number_schema(const OrderedJson& schema, bool is_integer,
                                     const std::string& path, JsonText* text, Grammar* grammar);

}  // namespace brisk
