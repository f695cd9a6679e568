#include "model/template/operators.h"

#include <algorithm>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/number.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

std::string_view symbol_of(CompareOperator op) {
  switch (op) {
    case CompareOperator::kEq:
      return "==";
    case CompareOperator::kNe:
      return "!=";
    case CompareOperator::kLt:
      return "<";
    case CompareOperator::kLe:
      return "<=";
    case CompareOperator::kGt:
      return ">";
    case CompareOperator::kGe:
      return ">=";
    case CompareOperator::kIn:
      return "in";
    case CompareOperator::kNotIn:
      return "not in";
  }
  return "";
}

bool is_ordered_sequence(const Value& value) {
  return value.is_sequence() && (value.sequence()->kind == SequenceKind::kList ||
                                 value.sequence()->kind == SequenceKind::kTuple);
}

absl::StatusOr<bool> equal_items(Runtime& runtime, const Sequence& left, const Sequence& right) {
  if (left.kind != right.kind || left.items.size() != right.items.size()) return false;
  for (size_t i = 0; i < left.items.size(); ++i) {
    BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, left.items[i], right.items[i]));
    if (!same) return false;
  }
  return true;
}

absl::StatusOr<bool> equal_dicts(Runtime& runtime, const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  for (const auto& [key, value] : left.entries) {
    BRISK_ASSIGN_OR_RETURN(const Value* other, find_key(runtime, right, key));
    if (other == nullptr) return false;
    BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, value, *other));
    if (!same) return false;
  }
  return true;
}

// left < right, or left <= right when `or_equal`.
absl::StatusOr<bool> ordered(Runtime& runtime, CompareOperator op, bool or_equal, const Value& left,
                             const Value& right) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(1));
  const auto a = number_of(left);
  const auto b = number_of(right);
  if (a && b) return or_equal ? a->wide() <= b->wide() : a->wide() < b->wide();
  if (left.is_text() && right.is_text()) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(left.text().size() / 64));
    return or_equal ? left.text() <= right.text() : left.text() < right.text();
  }
  if (is_ordered_sequence(left) && is_ordered_sequence(right) &&
      left.sequence()->kind == right.sequence()->kind) {
    const auto& xs = left.sequence()->items;
    const auto& ys = right.sequence()->items;
    for (size_t i = 0; i < std::min(xs.size(), ys.size()); ++i) {
      BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, xs[i], ys[i]));
      if (!same) return ordered(runtime, op, or_equal, xs[i], ys[i]);
    }
    return or_equal ? xs.size() <= ys.size() : xs.size() < ys.size();
  }
  if (left.is_undefined()) return undefined_error(left);
  if (right.is_undefined()) return undefined_error(right);
  return invalid_input("'{}' not supported between instances of '{}' and '{}'", symbol_of(op),
                       left.type_name(), right.type_name());
}

}  // namespace

absl::Status undefined_error(const Value& missing) {
  return invalid_input("{}", missing.undefined_message());
}

absl::StatusOr<bool> equal(Runtime& runtime, const Value& left, const Value& right) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(1));
  const auto a = number_of(left);
  const auto b = number_of(right);
  if (a && b) return a->wide() == b->wide();
  if (left.kind() != right.kind()) return false;
  if (left.is_text()) {
    if (left.text().size() != right.text().size()) return false;
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(left.text().size() / 64));
    return left.text() == right.text();
  }
  if (left.same_as(right)) return true;
  if (left.is_sequence()) {
    if (!is_ordered_sequence(left)) return false;
    return equal_items(runtime, *left.sequence(), *right.sequence());
  }
  return left.is_dict() ? equal_dicts(runtime, left.dict(), right.dict()) : false;
}

absl::StatusOr<bool> less(Runtime& runtime, const Value& left, const Value& right) {
  return ordered(runtime, CompareOperator::kLt, false, left, right);
}

absl::StatusOr<bool> compare(Runtime& runtime, CompareOperator op, const Value& left,
                             const Value& right) {
  const auto negated = [](absl::StatusOr<bool> result) {
    if (result.ok()) *result = !*result;
    return result;
  };
  switch (op) {
    case CompareOperator::kEq:
      return equal(runtime, left, right);
    case CompareOperator::kNe:
      return negated(equal(runtime, left, right));
    case CompareOperator::kLt:
      return ordered(runtime, op, false, left, right);
    case CompareOperator::kLe:
      return ordered(runtime, op, true, left, right);
    case CompareOperator::kGt:
      return ordered(runtime, op, false, right, left);
    case CompareOperator::kGe:
      return ordered(runtime, op, true, right, left);
    case CompareOperator::kIn:
      return contains(runtime, right, left);
    case CompareOperator::kNotIn:
      return negated(contains(runtime, right, left));
  }
  return false;
}

absl::StatusOr<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_text()) {
    if (item.is_undefined()) return invalid_input("'in <string>' requires string, not Undefined");
    if (!item.is_text()) {
      return invalid_input("'in <string>' requires string as left operand, not {}",
                           item.type_name());
    }
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(container.text().size() / 64));
    return find_text(container.text(), item.text(), 0) != std::string_view::npos;
  }
  if (container.is_dict()) {
    BRISK_ASSIGN_OR_RETURN(const Value* found, find_key(runtime, container.dict(), item));
    return found != nullptr;
  }
  BRISK_ASSIGN_OR_RETURN(const auto sequence, iterate(runtime, container));
  for (const Value& candidate : sequence->items) {
    BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, candidate, item));
    if (same) return true;
  }
  return false;
}

absl::StatusOr<int64_t> length(Runtime& runtime, const Value& value) {
  if (value.is_text()) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(value.text().size() / 64));
    return static_cast<int64_t>(count_characters(value.text()));
  }
  if (value.is_dict()) return static_cast<int64_t>(value.dict().entries.size());
  if (value.is_undefined()) return 0;
  if (value.is_sequence() && value.sequence()->kind != SequenceKind::kGenerator) {
    return static_cast<int64_t>(value.sequence()->items.size());
  }
  return invalid_input("object of type '{}' has no len()", value.type_name());
}

bool is_iterable(const Value& value) {
  return value.is_text() || value.is_dict() || value.is_sequence() || value.is_undefined();
}

absl::StatusOr<std::shared_ptr<const Sequence>> iterate(Runtime& runtime, const Value& value) {
  std::vector<Value> items;
  if (value.is_sequence()) {
    const auto& sequence = value.sequence();
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(sequence->items.size() / 16));
    if (sequence->kind != SequenceKind::kGenerator) return sequence;
    if (!std::exchange(sequence->walked, true)) return sequence;
  } else if (value.is_dict()) {
    for (const auto& [key, _] : value.dict().entries) items.push_back(key);
  } else if (value.is_text()) {
    const std::string_view text = value.text();
    BRISK_RETURN_IF_ERROR(runtime.spend_bytes(text.size() * sizeof(std::string)));
    for (size_t offset = 0; offset < text.size();) {
      const size_t start = offset;
      next_character(text, &offset);
      items.emplace_back(std::string(text.substr(start, offset - start)));
    }
  } else if (!value.is_undefined()) {
    return invalid_input("'{}' object is not iterable", value.type_name());
  }
  BRISK_ASSIGN_OR_RETURN(const Value list, runtime.sequence(SequenceKind::kList, std::move(items)));
  return list.sequence();
}

}  // namespace brisk::jinja
