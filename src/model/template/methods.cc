#include "model/template/methods.h"

#include <algorithm>
#include <span>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/arguments.h"
#include "model/template/operators.h"
#include "model/template/text_methods.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("get", arguments, {"key", "default"}, 1));
  BRISK_ASSIGN_OR_RETURN(const Value* found, find_key(runtime, self.dict(), *given[0]));
  if (found != nullptr) return *found;
  return given[1] == nullptr ? Value(None{}) : *given[1];
}

// A view of the dict, one item for each entry.
template <class Pick>
Result view(Runtime& runtime, const Value& self, const Arguments& arguments, SequenceKind kind,
            Pick pick) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("dict method", arguments, {}, 0).status());
  std::vector<Value> items;
  for (const auto& entry : self.dict().entries) {
    BRISK_ASSIGN_OR_RETURN(Value item, pick(entry));
    items.push_back(std::move(item));
  }
  return runtime.sequence(kind, std::move(items));
}

Result dict_items(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return view(runtime, self, arguments, SequenceKind::kItems, [&](const auto& entry) {
    return runtime.sequence(SequenceKind::kTuple, {entry.first, entry.second});
  });
}

Result dict_keys(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return view(runtime, self, arguments, SequenceKind::kKeys,
              [](const auto& entry) -> Result { return entry.first; });
}

Result dict_values(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return view(runtime, self, arguments, SequenceKind::kValues,
              [](const auto& entry) -> Result { return entry.second; });
}

// Values cannot be changed, so that a copy is the value itself.
Result copy(Runtime&, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("copy", arguments, {}, 0).status());
  return self;
}

Result list_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("index", arguments, {"value"}, 1));
  const auto& items = self.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, items[i], *given[0]));
    if (same) return Value(static_cast<int64_t>(i));
  }
  return invalid_input("the value is not in the list");
}

Result list_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("count", arguments, {"value"}, 1));
  int64_t count = 0;
  for (const Value& item : self.sequence()->items) {
    BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, item, *given[0]));
    count += same;
  }
  return Value(count);
}

constexpr Native kDictMethods[] = {
    {"copy", copy},      {"get", dict_get},       {"items", dict_items},
    {"keys", dict_keys}, {"values", dict_values},
};
constexpr Native kListMethods[] = {
    {"copy", copy},
    {"count", list_count},
    {"index", list_index},
};
constexpr Native kTupleMethods[] = {
    {"count", list_count},
    {"index", list_index},
};

constexpr std::string_view kMutatingDictMethods[] = {"clear", "pop", "popitem", "setdefault",
                                                     "update"};
constexpr std::string_view kMutatingListMethods[] = {"append", "clear",  "extend",  "insert",
                                                     "pop",    "remove", "reverse", "sort"};

bool is_of_kind(const Value& value, SequenceKind kind) {
  return value.is_sequence() && value.sequence()->kind == kind;
}

std::span<const Native> methods_of(const Value& object) {
  if (object.is_text()) return text_methods();
  if (object.is_dict()) return kDictMethods;
  if (is_of_kind(object, SequenceKind::kList)) return kListMethods;
  if (is_of_kind(object, SequenceKind::kTuple)) return kTupleMethods;
  return {};
}

}  // namespace

const Native* find_method(const Value& object, std::string_view name) {
  for (const Native& method : methods_of(object)) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

bool is_mutating_method(const Value& object, std::string_view name) {
  std::span<const std::string_view> names;
  if (object.is_dict()) names = kMutatingDictMethods;
  if (is_of_kind(object, SequenceKind::kList)) names = kMutatingListMethods;
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace brisk::jinja
