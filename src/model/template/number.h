// Numbers as Python calculates with them; integers have 64 bits and overflow is an error.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "model/template/value.h"

namespace brisk::jinja {

struct Number {
  bool is_float;
  int64_t integer;  // when not is_float
  double real;      // always

  // Holds both kinds exactly (x86's 64-bit mantissa), for comparisons.
  long double wide() const {
    return is_float ? static_cast<long double>(real) : static_cast<long double>(integer);
  }
};

// Booleans are the numbers 0 and 1. Nothing for what is not a number.
std::optional<Number> number_of(const Value& value);

// Python's int(text, base) and float(text): nothing for what they refuse. base is 2 to 36.
std::optional<int64_t> parse_integer(std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

// int(number): towards zero. Errors: not finite, or beyond 64 bits.
absl::StatusOr<int64_t> truncated(double number);

}  // namespace brisk::jinja
