#include <algorithm>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/arguments.h"
#include "model/template/filters.h"
#include "model/template/number.h"
#include "model/template/operators.h"
#include "model/template/python_text.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Items = std::vector<Value>;

// "a.b.0": what `attribute=` names, as the keys to follow. Nothing, or none, is the item itself.
absl::StatusOr<Items> path_of(Runtime& runtime, const Value* attribute) {
  if (attribute == nullptr || attribute->is_none()) return Items{};
  if (!attribute->is_text()) return Items{*attribute};
  BRISK_RETURN_IF_ERROR(runtime.spend_bytes(attribute->text().size() * sizeof(Value)));
  Items path;
  std::string_view rest = attribute->text();
  while (true) {
    const size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view part = rest.substr(0, dot);
    const bool digits = all_of_class(part, CharacterClass::kDigit);
    const auto index = digits ? parse_integer(part, 10) : std::nullopt;
    path.push_back(index ? Value(*index) : Value(std::string(part)));
    if (dot == rest.size()) return path;
    rest.remove_prefix(dot + 1);
  }
}

// `fallback`, when given, stands in for what is missing on the way.
Result follow(Runtime& runtime, Value value, const Items& path, const Value* fallback = nullptr) {
  for (const Value& key : path) {
    BRISK_ASSIGN_OR_RETURN(value, get_item(runtime, value, key));
    if (fallback != nullptr && value.is_undefined()) value = *fallback;
  }
  return value;
}

Result folded(Runtime& runtime, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_text()) return value;
  return runtime.text(to_lower(value.text()));
}

Result filter_length(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("length", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const int64_t count, length(runtime, self));
  return Value(count);
}

Result filter_list(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("list", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  return runtime.sequence(SequenceKind::kList, items->items);
}

Result filter_first(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("first", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  if (!items->items.empty()) return items->items.front();
  return Value::undefined("No first item, sequence was empty.");
}

bool is_generator(const Value& value) {
  return value.is_sequence() && value.sequence()->kind == SequenceKind::kGenerator;
}

Result filter_last(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("last", arguments, {}, 0).status());
  if (is_generator(self)) return invalid_input("'generator' object is not reversible");
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  if (!items->items.empty()) return items->items.back();
  return Value::undefined("No last item, sequence was empty.");
}

Result filter_reverse(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("reverse", arguments, {}, 0).status());
  if (self.is_text()) return slice(runtime, self, {.start = {}, .stop = {}, .step = -1});
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  const SequenceKind kind = is_generator(self) ? SequenceKind::kList : SequenceKind::kGenerator;
  return runtime.sequence(kind, Items(items->items.rbegin(), items->items.rend()));
}

Result filter_items(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("items", arguments, {}, 0).status());
  if (!self.is_dict() && !self.is_undefined()) {
    return invalid_input("Can only get item pairs from a mapping.");
  }
  Items pairs;
  for (size_t i = 0; self.is_dict() && i < self.dict().entries.size(); ++i) {
    const auto& [key, value] = self.dict().entries[i];
    BRISK_ASSIGN_OR_RETURN(Value pair, runtime.sequence(SequenceKind::kTuple, {key, value}));
    pairs.push_back(std::move(pair));
  }
  return runtime.sequence(SequenceKind::kGenerator, std::move(pairs));
}

Result filter_join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("join", arguments, {"d", "attribute"}, 0));
  BRISK_ASSIGN_OR_RETURN(const Value separator,
                         to_text(runtime, given[0] ? *given[0] : Value(std::string())));
  BRISK_ASSIGN_OR_RETURN(const Items path, path_of(runtime, given[1]));
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  TextBuilder out(runtime);
  for (size_t i = 0; i < items->items.size(); ++i) {
    if (i > 0) BRISK_RETURN_IF_ERROR(out.append(separator.text()));
    BRISK_ASSIGN_OR_RETURN(const Value item, follow(runtime, items->items[i], path));
    BRISK_RETURN_IF_ERROR(append_text(out, item));
  }
  return out.finish();
}

const Value* named_argument(const Arguments& arguments, std::string_view name) {
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Result map_attribute(Runtime& runtime, const Items& items, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("map", arguments, {"attribute", "default"}, 1));
  BRISK_ASSIGN_OR_RETURN(const Items path, path_of(runtime, given[0]));
  const Value* fallback = given[1] == nullptr || given[1]->is_none() ? nullptr : given[1];
  Items mapped;
  for (const Value& item : items) {
    BRISK_ASSIGN_OR_RETURN(Value value, follow(runtime, item, path, fallback));
    mapped.push_back(std::move(value));
  }
  return runtime.sequence(SequenceKind::kGenerator, std::move(mapped));
}

// The native that `arguments.positional[position]` names, and the arguments behind it.
struct NamedNative {
  const Native* native;
  Arguments arguments;
};

absl::StatusOr<NamedNative> named_native(const Arguments& arguments, size_t position,
                                         const Native* (*find)(std::string_view),
                                         std::string_view what) {
  const Value& name = arguments.positional[position];
  const Native* native = name.is_text() ? find(name.text()) : nullptr;
  if (native == nullptr) {
    return invalid_input("No {} named '{}'.", what, name.is_text() ? name.text() : "?");
  }
  const auto rest = arguments.positional.begin() + static_cast<ptrdiff_t>(position) + 1;
  return NamedNative{native, {Items(rest, arguments.positional.end()), arguments.named}};
}

Result filter_map(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!self.truthy()) return runtime.sequence(SequenceKind::kGenerator, {});
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  if (arguments.positional.empty()) {
    if (named_argument(arguments, "attribute") == nullptr) {
      return invalid_input("map requires a filter argument");
    }
    return map_attribute(runtime, items->items, arguments);
  }
  BRISK_ASSIGN_OR_RETURN(const NamedNative filter,
                         named_native(arguments, 0, find_filter, "filter"));
  Items mapped;
  for (const Value& item : items->items) {
    BRISK_RETURN_IF_ERROR(runtime.enter());  // a filter may itself be `map`
    Result value = filter.native->call(runtime, item, filter.arguments);
    runtime.leave();
    if (!value.ok()) return value;
    mapped.push_back(*std::move(value));
  }
  return runtime.sequence(SequenceKind::kGenerator, std::move(mapped));
}

// select, reject and their attribute forms: keeps the items whose test comes out as `wanted`.
template <bool kWanted, bool kAttribute>
Result filter_select(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!self.truthy()) return runtime.sequence(SequenceKind::kGenerator, {});
  constexpr size_t kTestPosition = kAttribute ? 1 : 0;
  if (arguments.positional.size() < kTestPosition) {
    return invalid_input("Missing parameter for attribute name");
  }
  const Value* attribute = kAttribute ? &arguments.positional[0] : nullptr;
  BRISK_ASSIGN_OR_RETURN(const Items path, path_of(runtime, attribute));
  NamedNative test{.native = nullptr, .arguments = {}};
  if (arguments.positional.size() > kTestPosition) {
    BRISK_ASSIGN_OR_RETURN(test, named_native(arguments, kTestPosition, find_test, "test"));
  }
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  Items kept;
  for (const Value& item : items->items) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(1));
    BRISK_ASSIGN_OR_RETURN(Value verdict, follow(runtime, item, path));
    if (test.native != nullptr) {
      BRISK_ASSIGN_OR_RETURN(verdict, test.native->call(runtime, verdict, test.arguments));
    }
    if (verdict.truthy() == kWanted) kept.push_back(item);
  }
  return runtime.sequence(SequenceKind::kGenerator, std::move(kept));
}

// Items with the keys they are ordered by.
struct Keyed {
  Items key;  // compared one after the other
  Value item;
};

absl::StatusOr<bool> key_less(Runtime& runtime, const Items& left, const Items& right) {
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, left[i], right[i]));
    if (!same) return less(runtime, left[i], right[i]);
  }
  return left.size() < right.size();
}

Result sorted(Runtime& runtime, std::vector<Keyed> keyed, bool reverse) {
  absl::Status failure;
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    if (!failure.ok()) return false;
    const auto result = reverse ? key_less(runtime, b.key, a.key) : key_less(runtime, a.key, b.key);
    if (!result.ok()) failure = result.status();
    return result.ok() && *result;
  });
  BRISK_RETURN_IF_ERROR(failure);
  Items items;
  for (Keyed& entry : keyed) items.push_back(std::move(entry.item));
  return runtime.sequence(SequenceKind::kList, std::move(items));
}

// "a,b.c": several attributes to order by, the first one first.
absl::StatusOr<std::vector<Items>> paths_of(Runtime& runtime, const Value* attribute) {
  std::vector<Items> paths;
  if (attribute == nullptr || !attribute->is_text()) {
    BRISK_ASSIGN_OR_RETURN(Items path, path_of(runtime, attribute));
    paths.push_back(std::move(path));
    return paths;
  }
  std::string_view rest = attribute->text();
  while (true) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const Value part{std::string(rest.substr(0, comma))};
    BRISK_ASSIGN_OR_RETURN(Items path, path_of(runtime, &part));
    paths.push_back(std::move(path));
    if (comma == rest.size()) return paths;
    rest.remove_prefix(comma + 1);
  }
}

Result filter_sort(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(
      const auto given,
      BoundArguments::bind("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0));
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  BRISK_ASSIGN_OR_RETURN(const std::vector<Items> paths, paths_of(runtime, given[2]));
  std::vector<Keyed> keyed;
  for (const Value& item : items->items) {
    BRISK_RETURN_IF_ERROR(runtime.spend_bytes(sizeof(Keyed) + paths.size() * sizeof(Value)));
    Keyed entry{.key = {}, .item = item};
    for (const Items& path : paths) {
      BRISK_ASSIGN_OR_RETURN(const Value part, follow(runtime, item, path));
      BRISK_ASSIGN_OR_RETURN(Value key, folded(runtime, part, given.flag(1, false)));
      entry.key.push_back(std::move(key));
    }
    keyed.push_back(std::move(entry));
  }
  return sorted(runtime, std::move(keyed), given.flag(0, false));
}

Result filter_dictsort(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(
      const auto given,
      BoundArguments::bind("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0));
  BRISK_ASSIGN_OR_RETURN(const std::string_view by, given.text(1, "key"));
  if (by != "key" && by != "value") {
    return invalid_input("You can only sort by either \"key\" or \"value\"");
  }
  if (self.is_undefined()) return undefined_error(self);
  if (!self.is_dict())
    return invalid_input("'{}' object has no attribute 'items'", self.type_name());
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : self.dict().entries) {
    BRISK_ASSIGN_OR_RETURN(Value pair, runtime.sequence(SequenceKind::kTuple, {key, value}));
    BRISK_ASSIGN_OR_RETURN(Value order,
                           folded(runtime, by == "key" ? key : value, given.flag(0, false)));
    keyed.push_back({.key = {std::move(order)}, .item = std::move(pair)});
  }
  return sorted(runtime, std::move(keyed), given.flag(2, false));
}

Result filter_unique(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(
      const auto given,
      BoundArguments::bind("unique", arguments, {"case_sensitive", "attribute"}, 0));
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  BRISK_ASSIGN_OR_RETURN(const Items path, path_of(runtime, given[1]));
  Dict seen{.entries = {}, .depth = 1};
  Items kept;
  for (const Value& item : items->items) {
    BRISK_ASSIGN_OR_RETURN(const Value part, follow(runtime, item, path));
    BRISK_ASSIGN_OR_RETURN(const Value key, folded(runtime, part, given.flag(0, false)));
    BRISK_ASSIGN_OR_RETURN(const Value* found, find_key(runtime, seen, key));
    if (found != nullptr) continue;
    seen.entries.emplace_back(key, Value());
    kept.push_back(item);
  }
  return runtime.sequence(SequenceKind::kGenerator, std::move(kept));
}

template <bool kMax>
Result filter_extreme(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(
      const auto given,
      BoundArguments::bind("min and max", arguments, {"case_sensitive", "attribute"}, 0));
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  if (items->items.empty()) {
    return Value::undefined("No aggregated item, sequence was empty.");
  }
  BRISK_ASSIGN_OR_RETURN(const Items path, path_of(runtime, given[1]));
  const Value* best = nullptr;
  Value best_key;
  for (const Value& item : items->items) {
    BRISK_ASSIGN_OR_RETURN(const Value part, follow(runtime, item, path));
    BRISK_ASSIGN_OR_RETURN(Value key, folded(runtime, part, given.flag(0, false)));
    bool better = best == nullptr;
    if (!better) {
      BRISK_ASSIGN_OR_RETURN(better,
                             kMax ? less(runtime, best_key, key) : less(runtime, key, best_key));
    }
    if (!better) continue;
    best = &item;
    best_key = std::move(key);
  }
  return *best;
}

Result filter_sum(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("sum", arguments, {"attribute", "start"}, 0));
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, self));
  BRISK_ASSIGN_OR_RETURN(const Items path, path_of(runtime, given[0]));
  Value total = given[1] == nullptr ? Value(int64_t{0}) : *given[1];
  for (const Value& item : items->items) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(1));
    BRISK_ASSIGN_OR_RETURN(const Value part, follow(runtime, item, path));
    BRISK_ASSIGN_OR_RETURN(total, calculate(runtime, BinaryOperator::kAdd, total, part));
  }
  return total;
}

constexpr Native kSequenceFilters[] = {
    {"count", filter_length},
    {"dictsort", filter_dictsort},
    {"first", filter_first},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"map", filter_map},
    {"max", filter_extreme<true>},
    {"min", filter_extreme<false>},
    {"reject", filter_select<false, false>},
    {"rejectattr", filter_select<false, true>},
    {"reverse", filter_reverse},
    {"select", filter_select<true, false>},
    {"selectattr", filter_select<true, true>},
    {"sort", filter_sort},
    {"sum", filter_sum},
    {"unique", filter_unique},
};

}  // namespace

std::span<const Native> sequence_filters() { return kSequenceFilters; }

}  // namespace brisk::jinja
