// Getting at what is inside a value: `value.name`, `value[key]`, `value[start:stop:step]`.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string_view>

#include "model/template/runtime.h"
#include "model/template/value.h"

namespace brisk::jinja {

// The entry of `key`, or null. Errors: InvalidArgument when a list or dict is asked for.
absl::StatusOr<const Value*> find_key(Runtime& runtime, const Dict& dict, const Value& key);

// Sets the entry of `key`, which keeps its place when it is there already. For dicts that are being
// made: a Value's never change.
absl::Status put_entry(Runtime& runtime, Dict* dict, const Value& key, const Value& value);

// An attribute or method first, then an item; a missing value when there is neither.
// Errors: `object` is itself missing.
absl::StatusOr<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name);

// An item first, then an attribute or method; a missing value when there is neither.
// Errors: `object` is itself missing.
absl::StatusOr<Value> get_item(Runtime& runtime, const Value& object, const Value& key);

struct SliceBounds {
  std::optional<int64_t> start, stop, step;
};

// A part of a list, tuple or text. Errors: anything else, or a step of 0.
absl::StatusOr<Value> slice(Runtime& runtime, const Value& object, const SliceBounds& bounds);

// Where `part` first occurs in `text` at or behind `from`, or npos. Linear, whatever the texts.
size_t find_text(std::string_view text, std::string_view part, size_t from);

}  // namespace brisk::jinja
