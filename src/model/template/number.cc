#include "model/template/number.h"

#include <absl/strings/ascii.h>

#include <charconv>
#include <cmath>
#include <string>

#include "base/status.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

// Without the underscores that Python allows between digits; nothing when one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  const auto is_digit = [text](size_t i) {
    return i < text.size() && absl::ascii_isalnum(static_cast<unsigned char>(text[i]));
  };
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
    } else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) {
      return std::nullopt;
    }
  }
  return digits;
}

}  // namespace

std::optional<Number> number_of(const Value& value) {
  if (value.is_float()) {
    return Number{.is_float = true, .integer = 0, .real = value.as_float()};
  }
  if (!value.is_int() && !value.is_bool()) return std::nullopt;
  const int64_t integer = value.is_int() ? value.as_int() : value.as_bool();
  return Number{.is_float = false, .integer = integer, .real = static_cast<double>(integer)};
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  const auto clean = without_underscores(strip(text, Side::kBoth));
  if (!clean || clean->empty()) return std::nullopt;
  std::string_view digits = *clean;
  const bool signed_ = digits[0] == '-' || digits[0] == '+';
  const bool is_negative = digits[0] == '-';
  digits.remove_prefix(signed_ ? 1 : 0);
  const std::string prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
  if (!prefix.empty() && digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == prefix[1]) {
    digits.remove_prefix(2);
  }
  if (digits.empty() || digits[0] == '-') return std::nullopt;
  const std::string number = (is_negative ? "-" : "") + std::string(digits);
  int64_t value = 0;
  const auto result = std::from_chars(number.data(), number.data() + number.size(), value, base);
  if (result.ec != std::errc() || result.ptr != number.data() + number.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_float(std::string_view text) {
  const auto clean = without_underscores(strip(text, Side::kBoth));
  if (!clean || clean->empty()) return std::nullopt;
  std::string_view digits = *clean;
  const bool is_negative = digits[0] == '-';
  if (is_negative || digits[0] == '+') digits.remove_prefix(1);
  if (digits.empty() || digits[0] == '-' || digits[0] == '+') return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ptr != digits.data() + digits.size()) return std::nullopt;
  if (digits.find('(') != std::string_view::npos) return std::nullopt;  // C's nan(...)
  if (result.ec == std::errc::result_out_of_range) {
    const size_t e = digits.find_first_of("eE");
    const bool tiny = e != std::string_view::npos && digits.substr(e + 1).starts_with('-');
    value = tiny ? 0 : HUGE_VAL;
  } else if (result.ec != std::errc()) {
    return std::nullopt;
  }
  return is_negative ? -value : value;
}

absl::StatusOr<int64_t> truncated(double number) {
  if (std::isnan(number)) return invalid_input("cannot convert float NaN to integer");
  if (std::isinf(number)) return invalid_input("cannot convert float infinity to integer");
  if (std::fabs(number) >= 0x1p63) return invalid_input("{} does not fit into 64 bits", number);
  return static_cast<int64_t>(number);
}

}  // namespace brisk::jinja
