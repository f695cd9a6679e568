#include "model/template/text_methods.h"

#include <algorithm>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/arguments.h"
#include "model/template/format.h"
#include "model/template/operators.h"
#include "model/template/text_split.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;
constexpr size_t kNotFound = std::string_view::npos;

absl::StatusOr<Value> stripped(Runtime& runtime, const Value& self, const Arguments& arguments,
                               Side side) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("strip", arguments, {"chars"}, 0));
  BRISK_ASSIGN_OR_RETURN(const std::string_view characters, given.text(0, ""));
  const bool white_space = given[0] == nullptr || given[0]->is_none();
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(self.text().size() * (1 + characters.size()) / 64));
  return runtime.text(
      std::string(white_space ? strip(self.text(), side) : strip(self.text(), characters, side)));
}

Result method_strip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return stripped(runtime, self, arguments, Side::kBoth);
}

Result method_lstrip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return stripped(runtime, self, arguments, Side::kLeft);
}

Result method_rstrip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return stripped(runtime, self, arguments, Side::kRight);
}

// The part of a text that the optional arguments `start` and `end` (numbers of characters) leave.
struct Window {
  std::string_view text;
  int64_t first;  // number of its first character
};

absl::StatusOr<Window> window_of(Runtime& runtime, std::string_view text,
                                 const BoundArguments& given) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(text.size() / 16));
  const auto count = static_cast<int64_t>(count_characters(text));
  BRISK_ASSIGN_OR_RETURN(int64_t start, given.integer(1, 0));
  BRISK_ASSIGN_OR_RETURN(int64_t end, given.integer(2, count));
  if (start < 0) start = std::max<int64_t>(start + count, 0);
  if (end < 0) end = std::max<int64_t>(end + count, 0);
  end = std::min(end, count);
  if (start > end) return invalid_input("the start of a search lies behind its end");
  const size_t from = offset_of_character(text, static_cast<size_t>(start));
  const size_t to = offset_of_character(text, static_cast<size_t>(end));
  return Window{.text = text.substr(from, to - from), .first = start};
}

Result affix(Runtime& runtime, const Value& self, const Arguments& arguments, bool at_start) {
  const std::string_view name = at_start ? "startswith" : "endswith";
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind(name, arguments, {"prefix", "start", "end"}, 1));
  const auto window = window_of(runtime, self.text(), given);
  if (!window.ok()) return Value(false);
  const auto matches = [&](const Value& part) {
    return at_start ? window->text.starts_with(part.text()) : window->text.ends_with(part.text());
  };
  if (given[0]->is_text()) return Value(matches(*given[0]));
  const bool is_tuple =
      given[0]->is_sequence() && given[0]->sequence()->kind == SequenceKind::kTuple;
  if (given[0]->is_undefined()) return undefined_error(*given[0]);
  if (!is_tuple) {
    return invalid_input("{} first arg must be str or a tuple of str, not {}", name,
                         given[0]->type_name());
  }
  for (const Value& part : given[0]->sequence()->items) {
    if (!part.is_text()) return invalid_input("{}: tuple for it must only contain str", name);
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(1 + part.text().size() / 64));
    if (matches(part)) return Value(true);
  }
  return Value(false);
}

Result method_startswith(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return affix(runtime, self, arguments, true);
}

Result method_endswith(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return affix(runtime, self, arguments, false);
}

// Linear, unlike std::string_view::rfind: finds the reversed part in the reversed text.
size_t find_last(std::string_view text, std::string_view part) {
  const std::string mirrored(text.rbegin(), text.rend());
  const size_t at = find_text(mirrored, std::string(part.rbegin(), part.rend()), 0);
  return at == kNotFound ? at : text.size() - part.size() - at;
}

enum class Search : uint8_t { kFirst, kLast, kCount };

// The number of the character where the argument is found, -1, or how often it is there.
absl::StatusOr<int64_t> search(Runtime& runtime, const Value& self, const Arguments& arguments,
                               Search what) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("find", arguments, {"sub", "start", "end"}, 1));
  BRISK_ASSIGN_OR_RETURN(const std::string_view part, given.text(0, ""));
  const auto window = window_of(runtime, self.text(), given);
  if (!window.ok()) return what == Search::kCount ? 0 : -1;
  const std::string_view text = window->text;
  if (what == Search::kCount) {
    if (part.empty()) return static_cast<int64_t>(count_characters(text)) + 1;
    int64_t count = 0;
    for (size_t at = find_text(text, part, 0); at != kNotFound; ++count) {
      at = find_text(text, part, at + part.size());
    }
    return count;
  }
  const size_t at = what == Search::kFirst ? find_text(text, part, 0) : find_last(text, part);
  if (at == kNotFound) return -1;
  return window->first + static_cast<int64_t>(count_characters(text.substr(0, at)));
}

Result method_find(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const int64_t at, search(runtime, self, arguments, Search::kFirst));
  return Value(at);
}

Result method_rfind(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const int64_t at, search(runtime, self, arguments, Search::kLast));
  return Value(at);
}

Result method_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const int64_t at, search(runtime, self, arguments, Search::kFirst));
  if (at < 0) return invalid_input("substring not found");
  return Value(at);
}

Result method_rindex(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const int64_t at, search(runtime, self, arguments, Search::kLast));
  if (at < 0) return invalid_input("substring not found");
  return Value(at);
}

Result method_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const int64_t count, search(runtime, self, arguments, Search::kCount));
  return Value(count);
}

Result list_of_texts(Runtime& runtime, const Pieces& texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (const std::string_view text : texts) {
    BRISK_ASSIGN_OR_RETURN(Value item, runtime.text(std::string(text)));
    items.push_back(std::move(item));
  }
  return runtime.sequence(SequenceKind::kList, std::move(items));
}

Result split(Runtime& runtime, const Value& self, const Arguments& arguments, bool from_right) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("split", arguments, {"sep", "maxsplit"}, 0));
  BRISK_ASSIGN_OR_RETURN(const std::string_view separator, given.text(0, ""));
  BRISK_ASSIGN_OR_RETURN(const int64_t maximum, given.integer(1, -1));
  const std::string_view text = self.text();
  const size_t splits_max = maximum < 0 ? SIZE_MAX : static_cast<size_t>(maximum);
  if (given[0] == nullptr || given[0]->is_none()) {
    BRISK_ASSIGN_OR_RETURN(const Pieces words, split_words(runtime, text, splits_max, from_right));
    return list_of_texts(runtime, words);
  }
  if (separator.empty()) return invalid_input("empty separator");
  BRISK_ASSIGN_OR_RETURN(const Pieces pieces,
                         from_right ? split_at_from_right(runtime, text, separator, splits_max)
                                    : split_at(runtime, text, separator, splits_max));
  return list_of_texts(runtime, pieces);
}

Result method_split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return split(runtime, self, arguments, false);
}

Result method_rsplit(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return split(runtime, self, arguments, true);
}

Result method_splitlines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("splitlines", arguments, {}, 0).status());
  BRISK_ASSIGN_OR_RETURN(const auto lines, lines_of(runtime, self.text()));
  return list_of_texts(runtime, lines);
}

Result partition(Runtime& runtime, const Value& self, const Arguments& arguments, bool from_right) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("partition", arguments, {"sep"}, 1));
  BRISK_ASSIGN_OR_RETURN(const std::string_view separator, given.text(0, ""));
  if (separator.empty()) return invalid_input("empty separator");
  const std::string_view text = self.text();
  BRISK_ASSIGN_OR_RETURN(const Pieces pieces, from_right
                                                  ? split_at_from_right(runtime, text, separator, 1)
                                                  : split_at(runtime, text, separator, 1));
  const auto piece = [](std::string_view part) { return Value(std::string(part)); };
  std::vector<Value> parts;
  if (pieces.size() == 2)
    parts = {piece(pieces[0]), piece(separator), piece(pieces[1])};
  else if (from_right)
    parts = {piece(""), piece(""), piece(text)};
  else
    parts = {piece(text), piece(""), piece("")};
  BRISK_RETURN_IF_ERROR(runtime.spend_bytes(text.size()));
  return runtime.sequence(SequenceKind::kTuple, std::move(parts));
}

Result method_partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return partition(runtime, self, arguments, false);
}

Result method_rpartition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return partition(runtime, self, arguments, true);
}

Result method_join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("join", arguments, {"iterable"}, 1));
  BRISK_ASSIGN_OR_RETURN(const auto items, iterate(runtime, *given[0]));
  TextBuilder out(runtime);
  for (size_t i = 0; i < items->items.size(); ++i) {
    const Value& item = items->items[i];
    if (!item.is_text()) {
      return invalid_input("sequence item {}: expected str instance, {} found", i,
                           item.type_name());
    }
    if (i > 0) BRISK_RETURN_IF_ERROR(out.append(self.text()));
    BRISK_RETURN_IF_ERROR(out.append(item.text()));
  }
  return out.finish();
}

Result method_replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("replace", arguments, {"old", "new", "count"}, 2));
  if (given[0]->is_undefined()) return undefined_error(*given[0]);
  if (given[1]->is_undefined()) return undefined_error(*given[1]);
  if (!given[0]->is_text() || !given[1]->is_text()) {
    return invalid_input("replace(): arguments must be str");
  }
  BRISK_ASSIGN_OR_RETURN(const int64_t count, given.integer(2, -1));
  return replaced(runtime, self.text(), given[0]->text(), given[1]->text(), count);
}

Result method_format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return brace_format(runtime, self, arguments);
}

template <std::string (*kMap)(std::string_view)>
Result mapped(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("str method", arguments, {}, 0).status());
  BRISK_RETURN_IF_ERROR(runtime.spend_bytes(self.text().size() * 2));  // ICU works in UTF-16
  return runtime.text(kMap(self.text()));
}

template <bool (*kTest)(std::string_view)>
Result tested(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_RETURN_IF_ERROR(BoundArguments::bind("str method", arguments, {}, 0).status());
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(self.text().size() / 16));
  return Value(kTest(self.text()));
}

template <CharacterClass kClass>
bool is_all(std::string_view text) {
  return all_of_class(text, kClass);
}

Result justified(Runtime& runtime, const Value& self, const Arguments& arguments, Side side) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("just", arguments, {"width", "fillchar"}, 1));
  BRISK_ASSIGN_OR_RETURN(const int64_t width, given.integer(0, 0));
  BRISK_ASSIGN_OR_RETURN(const std::string_view fill, given.text(1, " "));
  BRISK_RETURN_IF_ERROR(runtime.spend_steps((self.text().size() + fill.size()) / 64));
  if (count_characters(fill) != 1) {
    return invalid_input("The fill character must be exactly one character long");
  }
  const auto used = static_cast<int64_t>(count_characters(self.text()));
  const int64_t missing = std::max<int64_t>(width - used, 0);
  // Where the padding is odd, Python's center puts the extra character left for odd widths.
  const int64_t centered = missing / 2 + (missing & width & 1);
  const int64_t left = side == Side::kLeft ? 0 : side == Side::kRight ? missing : centered;
  TextBuilder out(runtime);
  BRISK_RETURN_IF_ERROR(out.append_repeated(fill, static_cast<size_t>(left)));
  BRISK_RETURN_IF_ERROR(out.append(self.text()));
  BRISK_RETURN_IF_ERROR(out.append_repeated(fill, static_cast<size_t>(missing - left)));
  return out.finish();
}

Result method_ljust(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return justified(runtime, self, arguments, Side::kLeft);
}

Result method_rjust(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return justified(runtime, self, arguments, Side::kRight);
}

Result method_center(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return justified(runtime, self, arguments, Side::kBoth);
}

Result method_zfill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given, BoundArguments::bind("zfill", arguments, {"width"}, 1));
  BRISK_ASSIGN_OR_RETURN(const int64_t width, given.integer(0, 0));
  const std::string_view text = self.text();
  const auto used = static_cast<int64_t>(count_characters(text));
  const bool has_sign = text.starts_with('-') || text.starts_with('+');
  TextBuilder out(runtime);
  BRISK_RETURN_IF_ERROR(out.append(text.substr(0, has_sign ? 1 : 0)));
  BRISK_RETURN_IF_ERROR(
      out.append_repeated("0", static_cast<size_t>(std::max<int64_t>(width - used, 0))));
  BRISK_RETURN_IF_ERROR(out.append(text.substr(has_sign ? 1 : 0)));
  return out.finish();
}

Result method_removeprefix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("removeprefix", arguments, {"prefix"}, 1));
  BRISK_ASSIGN_OR_RETURN(const std::string_view prefix, given.text(0, ""));
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(prefix.size() / 64));
  const bool found = self.text().starts_with(prefix);
  return runtime.text(std::string(self.text().substr(found ? prefix.size() : 0)));
}

Result method_removesuffix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("removesuffix", arguments, {"suffix"}, 1));
  BRISK_ASSIGN_OR_RETURN(const std::string_view suffix, given.text(0, ""));
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(suffix.size() / 64));
  const std::string_view text = self.text();
  const size_t cut = text.ends_with(suffix) ? suffix.size() : 0;
  return runtime.text(std::string(text.substr(0, text.size() - cut)));
}

constexpr Native kTextMethods[] = {
    {"capitalize", mapped<capitalized>},
    {"center", method_center},
    {"count", method_count},
    {"endswith", method_endswith},
    {"find", method_find},
    {"format", method_format},
    {"index", method_index},
    {"isalnum", tested<is_all<CharacterClass::kAlnum>>},
    {"isalpha", tested<is_all<CharacterClass::kAlpha>>},
    {"isdecimal", tested<is_all<CharacterClass::kDecimal>>},
    {"isdigit", tested<is_all<CharacterClass::kDigit>>},
    {"islower", tested<is_lower>},
    {"isnumeric", tested<is_all<CharacterClass::kNumeric>>},
    {"isspace", tested<is_all<CharacterClass::kSpace>>},
    {"isupper", tested<is_upper>},
    {"join", method_join},
    {"ljust", method_ljust},
    {"lower", mapped<to_lower>},
    {"lstrip", method_lstrip},
    {"partition", method_partition},
    {"removeprefix", method_removeprefix},
    {"removesuffix", method_removesuffix},
    {"replace", method_replace},
    {"rfind", method_rfind},
    {"rindex", method_rindex},
    {"rjust", method_rjust},
    {"rpartition", method_rpartition},
    {"rsplit", method_rsplit},
    {"rstrip", method_rstrip},
    {"split", method_split},
    {"splitlines", method_splitlines},
    {"startswith", method_startswith},
    {"strip", method_strip},
    {"title", mapped<to_title>},
    {"upper", mapped<to_upper>},
    {"zfill", method_zfill},
};

}  // namespace

std::span<const Native> text_methods() { return kTextMethods; }

absl::StatusOr<Value> replaced(Runtime& runtime, std::string_view text, std::string_view old,
                               std::string_view replacement, int64_t count) {
  size_t left = count < 0 ? SIZE_MAX : static_cast<size_t>(count);
  TextBuilder out(runtime);
  size_t start = 0;
  // An empty `old` stands before every character and at the end.
  for (size_t at = left == 0 ? kNotFound : find_text(text, old, 0);
       at != kNotFound && left-- > 0;) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(1));
    BRISK_RETURN_IF_ERROR(out.append(text.substr(start, at - start)));
    BRISK_RETURN_IF_ERROR(out.append(replacement));
    start = at + old.size();
    size_t next = start;
    if (old.empty()) {
      if (at == text.size()) break;
      next_character(text, &next);
    }
    at = find_text(text, old, next);
  }
  BRISK_RETURN_IF_ERROR(out.append(text.substr(start)));
  return out.finish();
}

}  // namespace brisk::jinja
