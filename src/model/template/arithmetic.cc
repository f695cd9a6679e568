#include <cmath>

#include "base/status.h"
#include "model/template/format.h"
#include "model/template/number.h"
#include "model/template/operators.h"

namespace brisk::jinja {
namespace {

std::string_view symbol_of(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSubtract:
      return "-";
    case BinaryOperator::kMultiply:
      return "*";
    case BinaryOperator::kDivide:
      return "/";
    case BinaryOperator::kFloorDivide:
      return "//";
    case BinaryOperator::kModulo:
      return "%";
    case BinaryOperator::kPower:
      return "** or pow()";
  }
  return "";
}

absl::Status overflow() { return invalid_input("integer overflow: integers have 64 bits here"); }

absl::Status division_by_zero() { return invalid_input("division by zero"); }

absl::StatusOr<Value> integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return invalid_input("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  for (int64_t square = base; exponent > 0;) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, square, &result)) return overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(square, square, &square)) return overflow();
  }
  return Value(result);
}

absl::StatusOr<Value> calculate_integers(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOperator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return overflow();
      return Value(result);
    case BinaryOperator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) return overflow();
      return Value(result);
    case BinaryOperator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) return overflow();
      return Value(result);
    case BinaryOperator::kDivide:
      if (b == 0) return division_by_zero();
      return Value(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case BinaryOperator::kFloorDivide:
      if (b == 0) return division_by_zero();
      if (a == INT64_MIN && b == -1) return overflow();
      return Value(a / b - static_cast<int64_t>(a % b != 0 && (a < 0) != (b < 0)));
    case BinaryOperator::kModulo:
      if (b == 0) return division_by_zero();
      if (b == -1) return Value(int64_t{0});
      result = a % b;
      return Value(result != 0 && (result < 0) != (b < 0) ? result + b : result);
    case BinaryOperator::kPower:
      return integer_power(a, b);
  }
  return Value();
}

double float_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double float_floor_divide(double a, double b) {
  const double quotient = (a - float_modulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

absl::StatusOr<Value> float_power(double a, double b) {
  if (a == 0 && b < 0) return invalid_input("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(b) && b != std::floor(b)) {
    return invalid_input("a negative number has no real power of {}", b);
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
    return invalid_input("the result of ** is too large");
  }
  return Value(result);
}

absl::StatusOr<Value> calculate_floats(BinaryOperator op, double a, double b) {
  const bool divides = op == BinaryOperator::kDivide || op == BinaryOperator::kFloorDivide ||
                       op == BinaryOperator::kModulo;
  if (divides && b == 0) return division_by_zero();
  switch (op) {
    case BinaryOperator::kAdd:
      return Value(a + b);
    case BinaryOperator::kSubtract:
      return Value(a - b);
    case BinaryOperator::kMultiply:
      return Value(a * b);
    case BinaryOperator::kDivide:
      return Value(a / b);
    case BinaryOperator::kFloorDivide:
      return Value(float_floor_divide(a, b));
    case BinaryOperator::kModulo:
      return Value(float_modulo(a, b));
    case BinaryOperator::kPower:
      return float_power(a, b);
  }
  return Value();
}

bool is_list_or_tuple(const Value& value) {
  return value.is_sequence() && (value.sequence()->kind == SequenceKind::kList ||
                                 value.sequence()->kind == SequenceKind::kTuple);
}

absl::StatusOr<Value> joined(Runtime& runtime, const Value& left, const Value& right) {
  if (left.is_text()) {
    TextBuilder out(runtime);
    BRISK_RETURN_IF_ERROR(out.append(left.text()));
    BRISK_RETURN_IF_ERROR(out.append(right.text()));
    return out.finish();
  }
  std::vector<Value> items = left.sequence()->items;
  const auto& more = right.sequence()->items;
  items.insert(items.end(), more.begin(), more.end());
  return runtime.sequence(left.sequence()->kind, std::move(items));
}

absl::StatusOr<Value> repeated(Runtime& runtime, const Value& value, int64_t times) {
  const auto count = static_cast<size_t>(std::max<int64_t>(times, 0));
  if (value.is_text()) {
    TextBuilder out(runtime);
    BRISK_RETURN_IF_ERROR(out.append_repeated(value.text(), count));
    return out.finish();
  }
  const auto& items = value.sequence()->items;
  size_t bytes = 0;
  if (__builtin_mul_overflow(items.size() * sizeof(Value), count, &bytes)) bytes = SIZE_MAX;
  BRISK_RETURN_IF_ERROR(runtime.spend_bytes(bytes));
  std::vector<Value> all;
  all.reserve(items.size() * count);
  for (size_t i = 0; i < count && !items.empty(); ++i) {
    all.insert(all.end(), items.begin(), items.end());
  }
  return runtime.sequence(value.sequence()->kind, std::move(all));
}

bool can_repeat(const Value& value) { return value.is_text() || is_list_or_tuple(value); }

}  // namespace

absl::StatusOr<Value> calculate(Runtime& runtime, BinaryOperator op, const Value& left,
                                const Value& right) {
  const auto a = number_of(left);
  const auto b = number_of(right);
  if (a && b) {
    if (a->is_float || b->is_float) return calculate_floats(op, a->real, b->real);
    return calculate_integers(op, a->integer, b->integer);
  }
  if (left.is_undefined()) return undefined_error(left);
  if (op == BinaryOperator::kModulo && left.is_text()) return percent_format(runtime, left, right);
  if (right.is_undefined()) return undefined_error(right);
  if (op == BinaryOperator::kMultiply) {
    if (can_repeat(left) && b && !b->is_float) return repeated(runtime, left, b->integer);
    if (can_repeat(right) && a && !a->is_float) return repeated(runtime, right, a->integer);
  }
  if (op == BinaryOperator::kAdd) {
    const bool lists = is_list_or_tuple(left) && is_list_or_tuple(right) &&
                       left.sequence()->kind == right.sequence()->kind;
    if (lists || (left.is_text() && right.is_text())) return joined(runtime, left, right);
  }
  if (op == BinaryOperator::kAdd && left.is_text()) {
    return invalid_input("can only concatenate str (not \"{}\") to str", right.type_name());
  }
  return invalid_input("unsupported operand type(s) for {}: '{}' and '{}'", symbol_of(op),
                       left.type_name(), right.type_name());
}

absl::StatusOr<Value> negative(const Value& value) {
  if (value.is_float()) return Value(-value.as_float());
  const auto number = number_of(value);
  if (value.is_undefined()) return undefined_error(value);
  if (!number) return invalid_input("bad operand type for unary -: '{}'", value.type_name());
  return calculate_integers(BinaryOperator::kSubtract, 0, number->integer);
}

absl::StatusOr<Value> positive(const Value& value) {
  if (value.is_float()) return value;
  const auto number = number_of(value);
  if (value.is_undefined()) return undefined_error(value);
  if (!number) return invalid_input("bad operand type for unary +: '{}'", value.type_name());
  return Value(number->integer);
}

}  // namespace brisk::jinja
