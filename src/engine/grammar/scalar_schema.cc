#include "engine/grammar/scalar_schema.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/status.h"
#include "engine/grammar/string_schema.h"

namespace brisk {
namespace {

absl::Status read_bound(const OrderedJson& schema, const char* keyword, const std::string& path,
                        std::optional<NumberBound>* bound) {
  if (!schema.contains(keyword)) return absl::OkStatus();
  const OrderedJson& json = schema[keyword];
  const auto value = json.is_number() ? Decimal::of(json) : std::nullopt;
  if (!value.has_value()) return schema_fault(path, keyword, "must be a number of up to 40 digits");
  *bound = NumberBound{.value = *value, .is_exclusive = keyword[0] == 'e'};
  return absl::OkStatus();
}

}  // namespace

absl::Status schema_fault(const std::string& path, std::string_view keyword,
                          std::string_view what) {
  return invalid_input("the schema at {}: '{}' {}", path.substr(0, 300), keyword.substr(0, 100),
                       what);
}

absl::StatusOr<std::optional<int>> count_of(const OrderedJson& schema, const char* keyword,
                                            const std::string& path) {
  if (!schema.contains(keyword)) return std::nullopt;
  const OrderedJson& json = schema[keyword];
  const double value = json.is_number() ? json.get<double>() : -1;
  if (value < 0 || value != std::floor(value)) {
    return schema_fault(path, keyword, "must be a whole number that is not negative");
  }
  return static_cast<int>(std::min<double>(value, std::numeric_limits<int>::max() - 1));
}

absl::StatusOr<ExprId> string_schema(const OrderedJson& schema, const std::string& path,
                                     JsonText* text, Grammar* grammar) {
  StringSchema string;
  BRISK_ASSIGN_OR_RETURN(string.length_min, count_of(schema, "minLength", path));
  BRISK_ASSIGN_OR_RETURN(string.length_max, count_of(schema, "maxLength", path));
  for (const char* keyword : {"pattern", "format"}) {
    if (!schema.contains(keyword)) continue;
    if (!schema[keyword].is_string()) return schema_fault(path, keyword, "must be a string");
    auto& value = keyword[0] == 'p' ? string.pattern : string.format;
    value = schema[keyword].get<std::string>();
  }
  auto expr = string_schema_expr(string, text, grammar);
  if (!expr.ok()) {
    return invalid_input("the schema at {}: {}", path.substr(0, 300), message_of(expr.status()));
  }
  return expr;
}

absl::StatusOr<ExprId> number_schema(const OrderedJson& schema, bool is_integer,
                                     const std::string& path, JsonText* text, Grammar* grammar) {
  NumberBounds plain;
  NumberBounds exclusive;
  BRISK_RETURN_IF_ERROR(read_bound(schema, "minimum", path, &plain.min));
  BRISK_RETURN_IF_ERROR(read_bound(schema, "maximum", path, &plain.max));
  BRISK_RETURN_IF_ERROR(read_bound(schema, "exclusiveMinimum", path, &exclusive.min));
  BRISK_RETURN_IF_ERROR(read_bound(schema, "exclusiveMaximum", path, &exclusive.max));
  const bool has_exclusive = exclusive.min.has_value() || exclusive.max.has_value();
  const ExprId number = text->number(is_integer, plain);
  if (!has_exclusive) return number;
  return grammar->both(number, text->number(is_integer, exclusive));
}

}  // namespace brisk
