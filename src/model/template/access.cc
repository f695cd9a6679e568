#include "model/template/access.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "model/template/methods.h"
#include "model/template/number.h"
#include "model/template/operators.h"
#include "model/template/python_text.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

bool is_indexable(const Value& value) {
  return value.is_text() ||
         (value.is_sequence() && (value.sequence()->kind == SequenceKind::kList ||
                                  value.sequence()->kind == SequenceKind::kTuple));
}

std::string described(const Value& object) {
  if (object.is_none()) return "None";
  return fmt::format("{} object", object.type_name());
}

Value missing_attribute(const Value& object, std::string_view name) {
  return Value::undefined(
      fmt::format("'{}' has no attribute {}", described(object), repr_of_text(name)));
}

// The character or item at `index`, counted from the end when negative.
absl::StatusOr<std::optional<Value>> item_at(Runtime& runtime, const Value& object, int64_t index) {
  if (object.is_text()) {
    const std::string_view text = object.text();
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.size() / 64));
    const auto count = static_cast<int64_t>(count_characters(text));
    if (index < 0) index += count;
    if (index < 0 || index >= count) return std::nullopt;
    const size_t start = offset_of_character(text, static_cast<size_t>(index));
    size_t end = start;
    next_character(text, &end);
    return Value(std::string(text.substr(start, end - start)));
  }
  const auto& items = object.sequence()->items;
  const auto count = static_cast<int64_t>(items.size());
  if (index < 0) index += count;
  if (index < 0 || index >= count) return std::nullopt;
  return items[static_cast<size_t>(index)];
}

// obj[key] as Python does it, without falling back to attributes.
absl::StatusOr<std::optional<Value>> plain_item(Runtime& runtime, const Value& object,
                                                const Value& key) {
  if (object.is_dict() && key.hashable()) {
    BRISK_ASSIGN_OR_RETURN(const Value* found, find_key(runtime, object.dict(), key));
    if (found != nullptr) return *found;
  }
  const auto index = number_of(key);
  if (index && !index->is_float && is_indexable(object)) {
    return item_at(runtime, object, index->integer);
  }
  return std::nullopt;
}

// getattr(obj, name) in the sandbox: nothing when there is no such attribute.
absl::StatusOr<std::optional<Value>> plain_attribute(Runtime& runtime, const Value& object,
                                                     std::string_view name) {
  if (object.is_object()) return object.object()->attribute(runtime, name);
  if (const Native* method = find_method(object, name)) {
    return Value(std::make_shared<const Function>(Function{.native = method, .self = object}));
  }
  const bool internal = name.starts_with("__") && name.ends_with("__");
  if (internal || is_mutating_method(object, name)) {
    return Value::undefined(fmt::format("access to attribute {} of '{}' object is unsafe.",
                                        repr_of_text(name), object.type_name()));
  }
  return std::nullopt;
}

// slice.indices(): every index stays within the items.
struct Walk {
  int64_t start, stop, step;
};

Walk walk_of(const SliceBounds& bounds, int64_t count) {
  const int64_t step = bounds.step.value_or(1);
  const int64_t low = step < 0 ? -1 : 0;
  const int64_t high = step < 0 ? count - 1 : count;
  const auto clamped = [&](std::optional<int64_t> bound, int64_t fallback) {
    if (!bound) return fallback;
    return *bound < 0 ? std::max(*bound + count, low) : std::min(*bound, high);
  };
  return {.start = clamped(bounds.start, step < 0 ? high : low),
          .stop = clamped(bounds.stop, step < 0 ? low : high),
          .step = step};
}

// Calls visit(index) along the walk.
template <class Visit>
void walk(const Walk& walk, int64_t count, Visit visit) {
  // A step beyond the items takes one of them; clamping it keeps the sum from overflowing.
  const int64_t step = std::clamp<int64_t>(walk.step, -count - 1, count + 1);
  for (int64_t i = walk.start; step > 0 ? i < walk.stop : i > walk.stop; i += step) {
    visit(static_cast<size_t>(i));
  }
}

absl::StatusOr<Value> slice_text(Runtime& runtime, std::string_view text,
                                 const SliceBounds& bounds) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.size() / 16));
  const auto count = static_cast<int64_t>(count_characters(text));
  const Walk range = walk_of(bounds, count);
  if (range.step == 1) {
    if (range.start >= range.stop) return Value(std::string());
    const size_t start = offset_of_character(text, static_cast<size_t>(range.start));
    const std::string_view rest = text.substr(start);
    const auto characters = static_cast<size_t>(range.stop - range.start);
    return runtime.text(std::string(rest.substr(0, offset_of_character(rest, characters))));
  }
  BRISK_RETURN_IF_ERROR(runtime.spend_bytes(text.size() * sizeof(char32_t)));
  std::u32string characters;
  for (size_t offset = 0; offset < text.size();) characters += next_character(text, &offset);
  std::string picked;
  walk(range, count, [&](size_t i) { append_character(&picked, characters[i]); });
  return Value(std::move(picked));
}

}  // namespace

size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size() || part.size() > text.size() - from) return std::string_view::npos;
  if (part.empty()) return from;
  // glibc's memmem is linear; std::string::find is not.
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

absl::Status put_entry(Runtime& runtime, Dict* dict, const Value& key, const Value& value) {
  BRISK_ASSIGN_OR_RETURN(const Value* found, find_key(runtime, *dict, key));
  if (found == nullptr) {
    dict->entries.emplace_back(key, value);
    return absl::OkStatus();
  }
  for (auto& entry : dict->entries) {
    if (&entry.second == found) entry.second = value;
  }
  return absl::OkStatus();
}

absl::StatusOr<const Value*> find_key(Runtime& runtime, const Dict& dict, const Value& key) {
  if (!key.hashable()) return invalid_input("unhashable type: '{}'", key.type_name());
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(dict.entries.size() / 16));
  for (const auto& [candidate, value] : dict.entries) {
    if (candidate.is_text() != key.is_text()) continue;
    if (key.is_text()) {
      if (candidate.text() == key.text()) return &value;
      continue;
    }
    BRISK_ASSIGN_OR_RETURN(const bool same, equal(runtime, candidate, key));
    if (same) return &value;
  }
  return static_cast<const Value*>(nullptr);
}

absl::StatusOr<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) return undefined_error(object);
  BRISK_ASSIGN_OR_RETURN(auto attribute, plain_attribute(runtime, object, name));
  if (attribute) return *std::move(attribute);
  if (object.is_dict()) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(object.dict().entries.size() / 16));
    for (const auto& [key, value] : object.dict().entries) {
      if (key.is_text() && key.text() == name) return value;
    }
  }
  return missing_attribute(object, name);
}

absl::StatusOr<Value> get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return undefined_error(object);
  BRISK_ASSIGN_OR_RETURN(auto item, plain_item(runtime, object, key));
  if (item) return *std::move(item);
  if (key.is_text()) {
    BRISK_RETURN_IF_ERROR(runtime.spend_bytes(key.text().size()));
    BRISK_ASSIGN_OR_RETURN(auto attribute, plain_attribute(runtime, object, key.text()));
    return attribute ? *std::move(attribute) : missing_attribute(object, key.text());
  }
  TextBuilder message(runtime);
  BRISK_RETURN_IF_ERROR(message.append(described(object) + " has no element "));
  BRISK_RETURN_IF_ERROR(append_repr(message, key));
  return Value::undefined(std::move(message.text()));
}

absl::StatusOr<Value> slice(Runtime& runtime, const Value& object, const SliceBounds& bounds) {
  if (object.is_undefined()) return undefined_error(object);
  if (!is_indexable(object)) {
    return invalid_input("'{}' object is not subscriptable by a slice", object.type_name());
  }
  if (bounds.step == 0) return invalid_input("slice step cannot be zero");
  if (object.is_text()) return slice_text(runtime, object.text(), bounds);
  const auto& items = object.sequence()->items;
  const auto count = static_cast<int64_t>(items.size());
  std::vector<Value> picked;
  walk(walk_of(bounds, count), count, [&](size_t i) { picked.push_back(items[i]); });
  return runtime.sequence(object.sequence()->kind, std::move(picked));
}

}  // namespace brisk::jinja
