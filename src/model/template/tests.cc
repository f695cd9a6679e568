#include "base/status.h"
#include "model/template/arguments.h"
#include "model/template/filters.h"
#include "model/template/number.h"
#include "model/template/operators.h"
#include "model/template/python_text.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;

template <bool (*kTest)(const Value&)>
Result test_of(Runtime&, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("test", arguments, {}, 0).status());
  return Value(kTest(self));
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is_bool(); }
bool is_true(const Value& value) { return value.is_bool() && value.as_bool(); }
bool is_false(const Value& value) { return value.is_bool() && !value.as_bool(); }
bool is_integer(const Value& value) { return value.is_int(); }
bool is_float(const Value& value) { return value.is_float(); }
bool is_number(const Value& value) { return number_of(value).has_value(); }
bool is_string(const Value& value) { return value.is_text(); }
bool is_mapping(const Value& value) { return value.is_dict(); }
bool is_callable(const Value& value) {
  // A missing value counts: Python's Undefined has a __call__, which fails.
  return value.is_undefined() || value.is_function() ||
         (value.is_object() && value.object()->callable());
}
bool is_sequence(const Value& value) {
  if (value.is_text() || value.is_dict() || value.is_undefined()) return true;
  return value.is_sequence() && (value.sequence()->kind == SequenceKind::kList ||
                                 value.sequence()->kind == SequenceKind::kTuple);
}
bool never(const Value&) { return false; }

template <bool (*kTest)(std::string_view)>
Result test_case(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("test", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const Value text, to_text(runtime, self));
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.text().size() / 16));
  return Value(kTest(text.text()));
}

template <int64_t kRest>
Result test_parity(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("test", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const Value rest,
                         calculate(runtime, BinaryOperator::kModulo, self, Value(int64_t{2})));
  BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, rest, Value(kRest)));
  return Value(same);
}

Result test_divisibleby(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("divisibleby", arguments, {"num"}, 1));
  BRISK_ASSIGN_OR_RETURN(const Value rest,
                         calculate(runtime, BinaryOperator::kModulo, self, *given[0]));
  BRISK_ASSIGN_OR_RETURN(const bool divisible, equal(runtime, rest, Value(int64_t{0})));
  return Value(divisible);
}

Result test_sameas(Runtime&, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("sameas", arguments, {"other"}, 1));
  return Value(self.same_as(*given[0]));
}

template <CompareOperator kOperator>
Result test_compare(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("test", arguments, {"other"}, 1));
  BRISK_ASSIGN_OR_RETURN(const bool holds, compare(runtime, kOperator, self, *given[0]));
  return Value(holds);
}

template <const Native* (*kFind)(std::string_view)>
Result test_exists(Runtime&, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("test", arguments, {}, 0).status());
  return Value(self.is_text() && kFind(self.text()) != nullptr);
}

constexpr Native kTests[] = {
    {"!=", test_compare<CompareOperator::kNe>},
    {"<", test_compare<CompareOperator::kLt>},
    {"<=", test_compare<CompareOperator::kLe>},
    {"==", test_compare<CompareOperator::kEq>},
    {">", test_compare<CompareOperator::kGt>},
    {">=", test_compare<CompareOperator::kGe>},
    {"boolean", test_of<is_boolean>},
    {"callable", test_of<is_callable>},
    {"defined", test_of<is_defined>},
    {"divisibleby", test_divisibleby},
    {"eq", test_compare<CompareOperator::kEq>},
    {"equalto", test_compare<CompareOperator::kEq>},
    {"escaped", test_of<never>},
    {"even", test_parity<0>},
    {"false", test_of<is_false>},
    {"filter", test_exists<find_filter>},
    {"float", test_of<is_float>},
    {"ge", test_compare<CompareOperator::kGe>},
    {"greaterthan", test_compare<CompareOperator::kGt>},
    {"gt", test_compare<CompareOperator::kGt>},
    {"in", test_compare<CompareOperator::kIn>},
    {"integer", test_of<is_integer>},
    {"iterable", test_of<is_iterable>},
    {"le", test_compare<CompareOperator::kLe>},
    {"lessthan", test_compare<CompareOperator::kLt>},
    {"lower", test_case<is_lower>},
    {"lt", test_compare<CompareOperator::kLt>},
    {"mapping", test_of<is_mapping>},
    {"ne", test_compare<CompareOperator::kNe>},
    {"none", test_of<is_none>},
    {"number", test_of<is_number>},
    {"odd", test_parity<1>},
    {"sameas", test_sameas},
    {"sequence", test_of<is_sequence>},
    {"string", test_of<is_string>},
    {"test", test_exists<find_test>},
    {"true", test_of<is_true>},
    {"undefined", test_of<is_undefined>},
    {"upper", test_case<is_upper>},
};

}  // namespace

const Native* find_test(std::string_view name) {
  for (const Native& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

}  // namespace brisk::jinja
