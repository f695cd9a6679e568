#include "model/template/value.h"

#include <algorithm>

#include "base/status.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

absl::StatusOr<Value> from_json(const OrderedJson& json, int level);

absl::StatusOr<Value> list_from_json(const OrderedJson& json, int level) {
  Sequence list{.kind = SequenceKind::kList, .items = {}, .depth = 1, .hashable = false};
  list.items.reserve(json.size());
  for (const OrderedJson& item : json) {
    BRISK_ASSIGN_OR_RETURN(Value value, from_json(item, level + 1));
    list.depth = std::max(list.depth, value.depth() + 1);
    list.items.push_back(std::move(value));
  }
  return Value(std::make_shared<const Sequence>(std::move(list)));
}

absl::StatusOr<Value> dict_from_json(const OrderedJson& json, int level) {
  Dict dict{.entries = {}, .depth = 1};
  dict.entries.reserve(json.size());
  for (const auto& [key, item] : json.items()) {
    BRISK_ASSIGN_OR_RETURN(Value value, from_json(item, level + 1));
    dict.depth = std::max(dict.depth, value.depth() + 1);
    dict.entries.emplace_back(Value(valid_utf8(key)), std::move(value));
  }
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

absl::StatusOr<Value> from_json(const OrderedJson& json, int level) {
  if (level > kValueDepthMax) {
    return invalid_input("a chat template's input is nested deeper than {}", kValueDepthMax);
  }
  using Type = OrderedJson::value_t;
  switch (json.type()) {
    case Type::object:
      return dict_from_json(json, level);
    case Type::array:
      return list_from_json(json, level);
    case Type::string:
      return Value(valid_utf8(json.get_ref<const std::string&>()));
    case Type::boolean:
      return Value(json.get<bool>());
    case Type::number_integer:
      return Value(json.get<int64_t>());
    case Type::number_unsigned:
      // Integers are 64-bit here; the few that do not fit become floats.
      if (json.get<uint64_t>() > INT64_MAX) return Value(json.get<double>());
      return Value(json.get<int64_t>());
    case Type::number_float:
      return Value(json.get<double>());
    case Type::null:
      return Value(None{});
    case Type::binary:
    case Type::discarded:
      break;
  }
  return invalid_input("a chat template's input holds binary data");
}

std::string_view sequence_type_name(SequenceKind kind) {
  switch (kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
      return "tuple";
    case SequenceKind::kKeys:
      return "dict_keys";
    case SequenceKind::kValues:
      return "dict_values";
    case SequenceKind::kItems:
      return "dict_items";
    case SequenceKind::kGenerator:
      return "generator";
  }
  return "";
}

}  // namespace

std::string_view Value::undefined_message() const {
  const auto& undefined = get<std::shared_ptr<const Undefined>>();
  return undefined == nullptr ? std::string_view("the value is undefined") : undefined->message;
}

bool Value::truthy() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return as_bool();
    case Kind::kInt:
      return as_int() != 0;
    case Kind::kFloat:
      return as_float() != 0;
    case Kind::kText:
      return !text().empty();
    case Kind::kSequence:
      return sequence()->kind == SequenceKind::kGenerator || !sequence()->items.empty();
    case Kind::kDict:
      return !dict().entries.empty();
    case Kind::kFunction:
    case Kind::kObject:
      return true;
  }
  return false;
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return as_bool() == other.as_bool();
    case Kind::kInt:
      return as_int() == other.as_int();
    case Kind::kFloat:
      return as_float() == other.as_float();
    case Kind::kText:
      return text() == other.text();
    case Kind::kSequence:
      return sequence() == other.sequence();
    case Kind::kDict:
      return &dict() == &other.dict();
    case Kind::kFunction:
      return &function() == &other.function();
    case Kind::kObject:
      return object() == other.object();
  }
  return false;
}

std::string_view Value::type_name() const {
  switch (kind()) {
    case Kind::kUndefined:
      return "jinja2.runtime.Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kText:
      return "str";
    case Kind::kSequence:
      return sequence_type_name(sequence()->kind);
    case Kind::kDict:
      return "dict";
    case Kind::kFunction:
      return "function";
    case Kind::kObject:
      return object()->type_name();
  }
  return "";
}

int Value::depth() const {
  if (is_sequence()) return sequence()->depth;
  if (is_dict()) return dict().depth;
  return is_function() ? function().self.depth() : 0;
}

bool Value::hashable() const { return is_sequence() ? sequence()->hashable : !is_dict(); }

absl::StatusOr<Value> from_json(const OrderedJson& json) { return from_json(json, 1); }

}  // namespace brisk::jinja
