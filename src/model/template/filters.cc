#include "model/template/filters.h"

#include <cmath>
#include <cstdio>
#include <limits>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/arguments.h"
#include "model/template/number.h"
#include "model/template/operators.h"
#include "model/template/runtime.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result filter_default(Runtime&, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("default", arguments,
                                                                {"default_value", "boolean"}, 0));
  if (!self.is_undefined() && (self.truthy() || !given.flag(1, false))) return self;
  return given[0] == nullptr ? Value(std::string()) : *given[0];
}

Result filter_attr(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("attr", arguments, {"name"}, 1));
  BRISK_ASSIGN_OR_RETURN(const std::string_view name, given.text(0, ""));
  if (self.is_dict()) {  // attributes only, no items
    const Value empty(std::make_shared<const Dict>());
    return get_attribute(runtime, empty, name);
  }
  return get_attribute(runtime, self, name);
}

Result filter_abs(Runtime&, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("abs", arguments, {}, 0).status());
  if (self.is_float()) return Value(std::fabs(self.as_float()));
  const auto number = number_of(self);
  if (self.is_undefined()) return undefined_error(self);
  if (!number) return invalid_input("bad operand type for abs(): '{}'", self.type_name());
  return number->integer < 0 ? negative(self) : Value(number->integer);
}

std::optional<double> as_real(const Value& value) {
  if (value.is_text()) return parse_float(value.text());
  const auto number = number_of(value);
  return number ? std::optional<double>(number->real) : std::nullopt;
}

Result filter_int(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("int", arguments, {"default", "base"}, 0));
  BRISK_ASSIGN_OR_RETURN(const int64_t base, given.integer(1, 10));
  if (self.is_undefined()) return undefined_error(self);
  if (base < 2 || base > 36) return invalid_input("int() base must be >= 2 and <= 36");
  const auto number = number_of(self);
  if (number && !number->is_float) return Value(number->integer);
  if (self.is_text()) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(self.text().size() / 16));
    const auto parsed = parse_integer(self.text(), static_cast<int>(base));
    if (parsed) return Value(*parsed);
  }
  const auto real = as_real(self);
  if (!real || std::isnan(*real)) return given[0] == nullptr ? Value(int64_t{0}) : *given[0];
  BRISK_ASSIGN_OR_RETURN(const int64_t integer, truncated(*real));
  return Value(integer);
}

Result filter_float(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("float", arguments, {"default"}, 0));
  if (self.is_undefined()) return undefined_error(self);
  if (self.is_text()) BRISK_RETURN_IF_ERROR(runtime.spend_steps(self.text().size() / 16));
  if (const auto real = as_real(self)) return Value(*real);
  return given[0] == nullptr ? Value(0.0) : *given[0];
}

// To the nearest, halves to even, of the exact binary value: what "%.*f" does.
double rounded(double value, int precision) {
  if (precision > 100 || !std::isfinite(value)) return value;
  if (precision < 0) {
    const double unit = std::pow(10.0, -std::max(precision, -400));
    return std::isinf(unit) ? 0.0 : std::nearbyint(value / unit) * unit;
  }
  char buffer[512];
  const int size = std::snprintf(buffer, sizeof buffer, "%.*f", precision, value);
  return parse_float({buffer, static_cast<size_t>(size)}).value_or(value);
}

Result filter_round(Runtime&, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("round", arguments, {"precision", "method"}, 0));
  BRISK_ASSIGN_OR_RETURN(const int64_t digits, given.integer(0, 0));
  BRISK_ASSIGN_OR_RETURN(const std::string_view method, given.text(1, "common"));
  if (method != "common" && method != "ceil" && method != "floor") {
    return invalid_input("method must be common, ceil or floor");
  }
  const auto number = number_of(self);
  if (self.is_undefined()) return undefined_error(self);
  if (!number) return invalid_input("type {} cannot be rounded", self.type_name());
  const int precision = static_cast<int>(std::clamp<int64_t>(digits, -400, 400));
  if (method == "common") {
    if (!number->is_float && precision >= 0) return Value(number->integer);
    const double result = rounded(number->real, precision);
    if (number->is_float) return Value(result);
    BRISK_ASSIGN_OR_RETURN(const int64_t integer, truncated(result));
    return Value(integer);
  }
  const double scale = std::pow(10.0, precision);
  const double scaled = number->real * scale;
  if (!std::isfinite(scaled) || scale == 0)
    return invalid_input("the number is too large to round");
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

constexpr Native kScalarFilters[] = {
    {"abs", filter_abs},         {"attr", filter_attr},   {"d", filter_default},
    {"default", filter_default}, {"float", filter_float}, {"int", filter_int},
    {"round", filter_round},
};

}  // namespace

std::span<const Native> scalar_filters() { return kScalarFilters; }

const Native* find_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), scalar_filters()}) {
    for (const Native& filter : table) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace brisk::jinja
