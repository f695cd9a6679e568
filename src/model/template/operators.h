// Python's operators on values. Errors: InvalidArgument in Python's words; for a missing operand,
// the message that it carries; ResourceExhausted from the runtime.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>

#include "model/template/runtime.h"
#include "model/template/value.h"

namespace brisk::jinja {

enum class BinaryOperator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
};

enum class CompareOperator : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

absl::StatusOr<Value> calculate(Runtime& runtime, BinaryOperator op, const Value& left,
                                const Value& right);
absl::StatusOr<Value> negative(const Value& value);
absl::StatusOr<Value> positive(const Value& value);

absl::StatusOr<bool> compare(Runtime& runtime, CompareOperator op, const Value& left,
                             const Value& right);
absl::StatusOr<bool> equal(Runtime& runtime, const Value& left, const Value& right);
absl::StatusOr<bool> less(Runtime& runtime, const Value& left, const Value& right);

// `item in container`
absl::StatusOr<bool> contains(Runtime& runtime, const Value& container, const Value& item);

// len(value)
absl::StatusOr<int64_t> length(Runtime& runtime, const Value& value);

// What `for` walks: a list's items, a text's characters, a dict's keys, nothing for a missing
// value.
absl::StatusOr<std::shared_ptr<const Sequence>> iterate(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);

// The error of using a missing value for anything but printing or walking it.
absl::Status undefined_error(const Value& missing);

}  // namespace brisk::jinja
