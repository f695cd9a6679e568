#include <algorithm>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/arguments.h"
#include "model/template/filters.h"
#include "model/template/format.h"
#include "model/template/number.h"
#include "model/template/operators.h"
#include "model/template/python_text.h"
#include "model/template/text_methods.h"
#include "model/template/text_split.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result filter_string(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("string", arguments, {}, 0).status());
  return to_text(runtime, self);
}

// Calls the method of str that has the filter's name on the text of the value.
template <const char* kMethod>
Result method_as_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const Value text, to_text(runtime, self));
  for (const Native& method : text_methods()) {
    if (method.name == kMethod) return method.call(runtime, text, arguments);
  }
  return invalid_input("no method named '{}'", kMethod);
}

constexpr char kCapitalize[] = "capitalize";
constexpr char kLower[] = "lower";
constexpr char kStrip[] = "strip";
constexpr char kUpper[] = "upper";

Result filter_replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("replace", arguments, {"old", "new", "count"}, 2));
  BRISK_ASSIGN_OR_RETURN(const int64_t count, given.integer(2, -1));
  BRISK_ASSIGN_OR_RETURN(const Value text, to_text(runtime, self));
  BRISK_ASSIGN_OR_RETURN(const Value old, to_text(runtime, *given[0]));
  BRISK_ASSIGN_OR_RETURN(const Value replacement, to_text(runtime, *given[1]));
  return replaced(runtime, text.text(), old.text(), replacement.text(), count);
}

// Unlike the method, it starts words only behind white space and opening brackets.
Result filter_title(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("title", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const Value value, to_text(runtime, self));
  const std::string_view text = value.text();
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.size() / 4));
  const auto separates = [](char32_t c) {
    return is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                           std::string_view::npos);
  };
  std::string title;
  for (size_t offset = 0; offset < text.size();) {
    const size_t start = offset;
    const char32_t first = next_character(text, &offset);
    title += separates(first) ? std::string(text.substr(start, offset - start))
                              : to_upper(text.substr(start, offset - start));
    if (separates(first)) continue;
    const size_t rest = offset;
    for (size_t next = offset; next < text.size(); offset = next) {
      if (separates(next_character(text, &next))) break;
    }
    title += to_lower(text.substr(rest, offset - rest));
  }
  return runtime.text(std::move(title));
}

Result filter_indent(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("indent", arguments, {"width", "first", "blank"}, 0));
  if (self.is_undefined()) return undefined_error(self);
  if (!self.is_text()) return invalid_input("indent: a str is required, not {}", self.type_name());
  TextBuilder indention(runtime);
  if (given[0] != nullptr && given[0]->is_text()) {
    BRISK_RETURN_IF_ERROR(indention.append(given[0]->text()));
  } else {
    BRISK_ASSIGN_OR_RETURN(const int64_t width, given.integer(0, 4));
    BRISK_RETURN_IF_ERROR(
        indention.append_repeated(" ", static_cast<size_t>(std::max<int64_t>(width, 0))));
  }
  BRISK_ASSIGN_OR_RETURN(const Value ended, runtime.text(std::string(self.text()) + "\n"));
  BRISK_ASSIGN_OR_RETURN(const auto lines, lines_of(runtime, ended.text()));
  TextBuilder out(runtime);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) BRISK_RETURN_IF_ERROR(out.append("\n"));
    const bool indented = i == 0 ? given.flag(1, false) : !lines[i].empty() || given.flag(2, false);
    if (indented) BRISK_RETURN_IF_ERROR(out.append(indention.text()));
    BRISK_RETURN_IF_ERROR(out.append(lines[i]));
  }
  return out.finish();
}

Result filter_escape(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("escape", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const Value text, to_text(runtime, self));
  TextBuilder out(runtime);
  for (const char& c : text.text()) {
    const std::string_view piece = c == '&'    ? "&amp;"
                                   : c == '<'  ? "&lt;"
                                   : c == '>'  ? "&gt;"
                                   : c == '\'' ? "&#39;"
                                   : c == '"'  ? "&#34;"
                                               : std::string_view(&c, 1);
    BRISK_RETURN_IF_ERROR(out.append(piece));
  }
  return out.finish();
}

Result filter_format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return invalid_input("can't handle positional and keyword arguments at the same time");
  }
  BRISK_ASSIGN_OR_RETURN(const Value text, to_text(runtime, self));
  if (arguments.named.empty()) {
    BRISK_ASSIGN_OR_RETURN(const Value tuple,
                           runtime.sequence(SequenceKind::kTuple, arguments.positional));
    return percent_format(runtime, text, tuple);
  }
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : arguments.named) entries.emplace_back(Value(name), value);
  BRISK_ASSIGN_OR_RETURN(const Value dict, runtime.dict(std::move(entries)));
  return percent_format(runtime, text, dict);
}

Result filter_wordcount(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("wordcount", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const Value value, to_text(runtime, self));
  const std::string_view text = value.text();
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.size() / 4));
  int64_t words = 0;
  bool inside = false;
  for (size_t offset = 0; offset < text.size();) {
    const size_t start = offset;
    const char32_t c = next_character(text, &offset);
    const std::string_view character = text.substr(start, offset - start);
    const bool belongs = c == U'_' || all_of_class(character, CharacterClass::kAlnum);
    words += belongs && !inside;
    inside = belongs;
  }
  return Value(words);
}

absl::Status read_separators(const Value& separators, JsonStyle* style) {
  const bool is_pair = separators.is_sequence() && separators.sequence()->items.size() == 2 &&
                       separators.sequence()->items[0].is_text() &&
                       separators.sequence()->items[1].is_text();
  if (!is_pair) return invalid_input("tojson: separators must be two texts");
  style->item_separator = std::string(separators.sequence()->items[0].text());
  style->key_separator = std::string(separators.sequence()->items[1].text());
  return absl::OkStatus();
}

// Hugging Face's, not Jinja's: nothing is escaped for HTML, and keys keep their order.
Result filter_tojson(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(
      const auto given,
      BoundArguments::bind("tojson", arguments,
                           {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonStyle style;
  style.ascii_only = given.flag(0, false);
  style.sort_keys = given.flag(3, false);
  if (given[1] != nullptr && given[1]->is_text()) {
    style.indent = std::string(given[1]->text());
  } else if (given[1] != nullptr && !given[1]->is_none()) {
    BRISK_ASSIGN_OR_RETURN(const int64_t width, given.integer(1, 0));
    TextBuilder spaces(runtime);
    BRISK_RETURN_IF_ERROR(
        spaces.append_repeated(" ", static_cast<size_t>(std::max<int64_t>(width, 0))));
    style.indent = std::move(spaces.text());
  }
  if (style.indent) style.item_separator = ",";
  if (given[2] != nullptr && !given[2]->is_none()) {
    BRISK_RETURN_IF_ERROR(read_separators(*given[2], &style));
  }
  TextBuilder out(runtime);
  BRISK_RETURN_IF_ERROR(append_json(out, self, style));
  return out.finish();
}

constexpr Native kTextFilters[] = {
    {"capitalize", method_as_filter<kCapitalize>},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"lower", method_as_filter<kLower>},
    {"replace", filter_replace},
    {"safe", filter_string},
    {"string", filter_string},
    {"title", filter_title},
    {"tojson", filter_tojson},
    {"trim", method_as_filter<kStrip>},
    {"upper", method_as_filter<kUpper>},
    {"wordcount", filter_wordcount},
};

}  // namespace

std::span<const Native> text_filters() { return kTextFilters; }

}  // namespace brisk::jinja
