#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "model/template/python_text.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

std::string escaped(char32_t c) {
  switch (c) {
    case U'"':
      return "\\\"";
    case U'\\':
      return "\\\\";
    case U'\n':
      return "\\n";
    case U'\r':
      return "\\r";
    case U'\t':
      return "\\t";
    case U'\f':
      return "\\f";
    case U'\b':
      return "\\b";
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(c);
  if (code <= 0xFFFF) return fmt::format("\\u{:04x}", code);
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                     0xDC00 + ((code - 0x10000) & 0x3FF));
}

std::string json_float(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  return repr_of_float(number);
}

class JsonPrinter {
 public:
  JsonPrinter(TextBuilder& out, const JsonStyle& style) : out_(out), style_(style) {}

  // Recursion is bounded: JSON has only lists and dicts inside, which nest kValueDepthMax deep.
  absl::Status print(const Value& value, size_t level) {
    BRISK_RETURN_IF_ERROR(out_.runtime().spend_steps(1));
    if (value.is_text()) return print_text(value.text());
    if (value.is_dict()) return print_dict(value.dict(), level);
    if (value.is_sequence() && (value.sequence()->kind == SequenceKind::kList ||
                                value.sequence()->kind == SequenceKind::kTuple)) {
      return print_list(*value.sequence(), level);
    }
    if (const auto scalar = scalar_text(value)) return out_.append(*scalar);
    return invalid_input("Object of type {} is not JSON serializable", short_type_name(value));
  }

 private:
  static std::string_view short_type_name(const Value& value) {
    const std::string_view name = value.type_name();
    return name.substr(name.rfind('.') + 1);
  }

  static std::optional<std::string> scalar_text(const Value& value) {
    if (value.is_none()) return "null";
    if (value.is_bool()) return value.as_bool() ? "true" : "false";
    if (value.is_int()) return fmt::to_string(value.as_int());
    if (value.is_float()) return json_float(value.as_float());
    return std::nullopt;
  }

  absl::Status print_text(std::string_view text) {
    BRISK_RETURN_IF_ERROR(out_.append("\""));
    size_t plain = 0;  // start of the stretch that needs no escape
    for (size_t offset = 0; offset < text.size();) {
      const size_t start = offset;
      const char32_t c = next_character(text, &offset);
      const bool special = c < 0x20 || c == U'"' || c == U'\\' || (style_.ascii_only && c > 0x7E);
      if (!special) continue;
      BRISK_RETURN_IF_ERROR(out_.append(text.substr(plain, start - plain)));
      BRISK_RETURN_IF_ERROR(out_.append(escaped(c)));
      plain = offset;
    }
    BRISK_RETURN_IF_ERROR(out_.append(text.substr(plain)));
    return out_.append("\"");
  }

  absl::Status new_line(size_t level) {
    if (!style_.indent) return absl::OkStatus();
    BRISK_RETURN_IF_ERROR(out_.append("\n"));
    return out_.append_repeated(*style_.indent, level);
  }

  absl::Status print_list(const Sequence& list, size_t level) {
    if (list.items.empty()) return out_.append("[]");
    BRISK_RETURN_IF_ERROR(out_.append("["));
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) BRISK_RETURN_IF_ERROR(out_.append(style_.item_separator));
      BRISK_RETURN_IF_ERROR(new_line(level + 1));
      BRISK_RETURN_IF_ERROR(print(list.items[i], level + 1));
    }
    BRISK_RETURN_IF_ERROR(new_line(level));
    return out_.append("]");
  }

  static absl::StatusOr<std::string> key_text(const Value& key) {
    if (key.is_text()) return std::string(key.text());
    if (auto scalar = scalar_text(key)) return *std::move(scalar);
    return invalid_input("keys must be str, int, float, bool or None, not {}",
                         short_type_name(key));
  }

  absl::Status print_dict(const Dict& dict, size_t level) {
    if (dict.entries.empty()) return out_.append("{}");
    std::vector<std::pair<std::string, const Value*>> entries;
    for (const auto& [key, value] : dict.entries) {
      BRISK_ASSIGN_OR_RETURN(std::string text, key_text(key));
      BRISK_RETURN_IF_ERROR(out_.runtime().spend_bytes(text.size()));
      entries.emplace_back(std::move(text), &value);
    }
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    BRISK_RETURN_IF_ERROR(out_.append("{"));
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) BRISK_RETURN_IF_ERROR(out_.append(style_.item_separator));
      BRISK_RETURN_IF_ERROR(new_line(level + 1));
      BRISK_RETURN_IF_ERROR(print_text(entries[i].first));
      BRISK_RETURN_IF_ERROR(out_.append(style_.key_separator));
      BRISK_RETURN_IF_ERROR(print(*entries[i].second, level + 1));
    }
    BRISK_RETURN_IF_ERROR(new_line(level));
    return out_.append("}");
  }

  TextBuilder& out_;
  const JsonStyle& style_;
};

}  // namespace

absl::Status append_json(TextBuilder& out, const Value& value, const JsonStyle& style) {
  return JsonPrinter(out, style).print(value, 0);
}

}  // namespace brisk::jinja
