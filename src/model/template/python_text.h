// Values as text, as Python writes them: str(), repr(), and json.dumps().
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>

#include "model/template/runtime.h"
#include "model/template/value.h"

namespace brisk::jinja {

// str(value): what `{{ value }}` prints, but for a missing value, which is empty.
absl::Status append_text(TextBuilder& out, const Value& value);

// repr(value), the form inside lists and dicts: texts in quotes.
absl::Status append_repr(TextBuilder& out, const Value& value);

// The same as a value; a text is shared, not copied.
absl::StatusOr<Value> to_text(Runtime& runtime, const Value& value);

std::string repr_of_float(double number);
std::string repr_of_text(std::string_view text);

struct JsonStyle {
  std::optional<std::string> indent;  // of one level; nothing: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool ascii_only = false;
  bool sort_keys = false;
};

// json.dumps. Errors: InvalidArgument for what JSON cannot say.
absl::Status append_json(TextBuilder& out, const Value& value, const JsonStyle& style);

}  // namespace brisk::jinja
