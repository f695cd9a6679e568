#include "model/template/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/number.h"
#include "model/template/operators.h"
#include "model/template/python_text.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

constexpr size_t kWidthMax = 10'000;
constexpr size_t kPrecisionMax = 100;

// [[fill]align][sign][#][0][width][,][.precision][type]; what "%-5.2f" says is put into it too.
struct Spec {
  std::string fill = " ";
  char align = 0;  // '<', '>', '^', '='; 0: texts left, numbers right
  char sign = '-';
  bool alternate = false;
  char grouping = 0;
  size_t width = 0;
  std::optional<size_t> precision;
  char type = 0;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads digits at `*i`. Errors: more than `max`.
absl::StatusOr<std::optional<size_t>> read_size(std::string_view text, size_t* i, size_t max) {
  if (*i >= text.size() || !is_digit(text[*i])) return std::nullopt;
  size_t size = 0;
  for (; *i < text.size() && is_digit(text[*i]); ++*i) {
    size = size * 10 + static_cast<size_t>(text[*i] - '0');
    if (size > max) return invalid_input("a width or precision in a format is over {}", max);
  }
  return size;
}

// Width and precision, from `*i` on.
absl::Status read_sizes(std::string_view text, size_t* i, Spec* spec, bool grouping) {
  BRISK_ASSIGN_OR_RETURN(const auto width, read_size(text, i, kWidthMax));
  spec->width = width.value_or(0);
  if (grouping && *i < text.size() && (text[*i] == ',' || text[*i] == '_')) {
    spec->grouping = text[(*i)++];
  }
  if (*i < text.size() && text[*i] == '.') {
    ++*i;
    BRISK_ASSIGN_OR_RETURN(const auto precision, read_size(text, i, kPrecisionMax));
    if (!precision && grouping) return invalid_input("Format specifier missing precision");
    spec->precision = precision.value_or(0);
  }
  return absl::OkStatus();
}

absl::StatusOr<Spec> parse_spec(std::string_view text) {
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  Spec spec;
  size_t i = 0;
  size_t after_fill = 0;
  if (!text.empty()) next_character(text, &after_fill);
  if (after_fill < text.size() && is_align(text[after_fill])) {
    spec.fill = std::string(text.substr(0, after_fill));
    spec.align = text[after_fill];
    i = after_fill + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[i++];
  }
  if (i < text.size() && (text[i] == '+' || text[i] == '-' || text[i] == ' ')) {
    spec.sign = text[i++];
  }
  if (i < text.size() && text[i] == '#') {
    spec.alternate = true;
    ++i;
  }
  if (i < text.size() && text[i] == '0') {
    if (spec.align == 0) {
      spec.fill = "0";
      spec.align = '=';
    }
    ++i;
  }
  BRISK_RETURN_IF_ERROR(read_sizes(text, &i, &spec, true));
  if (i < text.size()) spec.type = text[i++];
  if (i < text.size()) return invalid_input("Invalid format specifier '{}'", text);
  return spec;
}

absl::Status append_padded(TextBuilder& out, const Spec& spec, std::string_view sign,
                           std::string_view body, char align) {
  const size_t used = sign.size() + count_characters(body);
  const size_t missing = spec.width > used ? spec.width - used : 0;
  const size_t left = align == '<' || align == '=' ? 0 : align == '^' ? missing / 2 : missing;
  BRISK_RETURN_IF_ERROR(out.append_repeated(spec.fill, left));
  BRISK_RETURN_IF_ERROR(out.append(sign));
  if (align == '=') BRISK_RETURN_IF_ERROR(out.append_repeated(spec.fill, missing));
  BRISK_RETURN_IF_ERROR(out.append(body));
  if (align == '=') return absl::OkStatus();
  return out.append_repeated(spec.fill, missing - left);
}

absl::Status append_text_field(TextBuilder& out, const Spec& spec, std::string_view text) {
  if (spec.precision) text = text.substr(0, offset_of_character(text, *spec.precision));
  return append_padded(out, spec, "", text, spec.align == 0 ? '<' : spec.align);
}

void group_digits(std::string* digits, char separator) {
  const size_t end = std::min(digits->find_first_not_of("0123456789"), digits->size());
  for (size_t i = end; i > 3; i -= 3) digits->insert(i - 3, 1, separator);
}

std::string integer_body(const Spec& spec, uint64_t magnitude) {
  switch (spec.type) {
    case 'x':
      return fmt::format("{}{:x}", spec.alternate ? "0x" : "", magnitude);
    case 'X':
      return fmt::format("{}{:X}", spec.alternate ? "0X" : "", magnitude);
    case 'o':
      return fmt::format("{}{:o}", spec.alternate ? "0o" : "", magnitude);
    case 'b':
      return fmt::format("{}{:b}", spec.alternate ? "0b" : "", magnitude);
    default:
      return fmt::to_string(magnitude);
  }
}

std::string float_body(const Spec& spec, double magnitude) {
  if (std::isnan(magnitude)) return "nan";
  if (std::isinf(magnitude)) return "inf";
  if (spec.type == 0 && !spec.precision) return repr_of_float(magnitude);
  if (spec.type == '%') {
    return fmt::format("{:.{}f}%", magnitude * 100, spec.precision.value_or(6));
  }
  const char format[] = {'%', '.', '*', spec.type == 0 ? 'g' : spec.type, '\0'};
  char buffer[512];  // the longest double has 309 digits before the point
  const int size = std::snprintf(buffer, sizeof buffer, format,
                                 static_cast<int>(spec.precision.value_or(6)), magnitude);
  return std::string(buffer, static_cast<size_t>(size));
}

absl::Status append_number_field(TextBuilder& out, const Spec& spec, const Number& number) {
  const bool integral =
      spec.type != 0 && std::string_view("dxXob").find(spec.type) != std::string_view::npos;
  const bool as_float = number.is_float ? !integral : !integral && spec.type != 0;
  std::string body;
  if (as_float) {
    body = float_body(spec, std::fabs(number.real));
  } else {
    int64_t value = number.integer;
    if (number.is_float) {
      BRISK_ASSIGN_OR_RETURN(value, truncated(number.real));
    }
    const auto bits = static_cast<uint64_t>(value);
    body = integer_body(spec, value < 0 ? 0 - bits : bits);
  }
  if (spec.grouping != 0) group_digits(&body, spec.grouping);
  const bool negative = number.is_float ? std::signbit(number.real) : number.integer < 0;
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  return append_padded(out, spec, sign, body, spec.align == 0 ? '>' : spec.align);
}

absl::Status append_formatted(TextBuilder& out, std::string_view spec_text, const Value& value) {
  if (spec_text.empty()) return append_text(out, value);
  BRISK_ASSIGN_OR_RETURN(const Spec spec, parse_spec(spec_text));
  const auto number = number_of(value);
  constexpr std::string_view kNumberTypes = "dxXobfFeEgG%";
  if (value.is_text() && (spec.type == 0 || spec.type == 's') && spec.align != '=') {
    return append_text_field(out, spec, value.text());
  }
  const bool integral_type =
      spec.type != 0 && std::string_view("dxXob").find(spec.type) != std::string_view::npos;
  if (number && (spec.type == 0 || kNumberTypes.find(spec.type) != std::string_view::npos) &&
      !(number->is_float && integral_type)) {
    return append_number_field(out, spec, *number);
  }
  return invalid_input("unsupported format '{}' for an object of type '{}'", spec_text,
                       value.type_name());
}

// "%...": walks the format and takes values as it goes.
class PercentFormatter {
 public:
  PercentFormatter(TextBuilder& out, std::string_view format, const Value& values)
      : out_(out), format_(format), values_(values) {
    is_tuple_ = values.is_sequence() && values.sequence()->kind == SequenceKind::kTuple;
  }

  absl::Status run() {
    while (at_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', at_), format_.size());
      BRISK_RETURN_IF_ERROR(out_.append(format_.substr(at_, percent - at_)));
      at_ = percent + 1;
      if (percent < format_.size()) BRISK_RETURN_IF_ERROR(field());
    }
    const bool all_used = is_tuple_ ? used_ == values_.sequence()->items.size()
                                    : used_ == 1 || values_.is_dict() || values_.is_sequence();
    if (all_used) return absl::OkStatus();
    return invalid_input("not all arguments converted during string formatting");
  }

 private:
  absl::StatusOr<Value> next_value() {
    const size_t count = is_tuple_ ? values_.sequence()->items.size() : 1;
    if (used_ >= count) return invalid_input("not enough arguments for format string");
    return is_tuple_ ? values_.sequence()->items[used_++] : (++used_, values_);
  }

  absl::StatusOr<std::optional<Value>> named_value() {
    if (at_ >= format_.size() || format_[at_] != '(') return std::nullopt;
    const size_t close = format_.find(')', at_);
    if (close == std::string_view::npos) return invalid_input("incomplete format key");
    if (!values_.is_dict()) return invalid_input("format requires a mapping");
    const Value key(std::string(format_.substr(at_ + 1, close - at_ - 1)));
    at_ = close + 1;
    BRISK_ASSIGN_OR_RETURN(const Value* found, find_key(out_.runtime(), values_.dict(), key));
    if (found == nullptr) return invalid_input("the format's key '{}' is missing", key.text());
    return *found;
  }

  Spec flags() {
    Spec spec;
    for (; at_ < format_.size(); ++at_) {
      const char flag = format_[at_];
      if (flag == '-')
        spec.align = '<';
      else if (flag == '+')
        spec.sign = '+';
      else if (flag == ' ')
        spec.sign = spec.sign == '+' ? '+' : ' ';
      else if (flag == '#')
        spec.alternate = true;
      else if (flag == '0')
        spec.fill = "0";
      else
        break;
    }
    if (spec.align == '<') spec.fill = " ";
    return spec;
  }

  absl::Status field() {
    BRISK_RETURN_IF_ERROR(out_.runtime().spend_steps(1));
    BRISK_ASSIGN_OR_RETURN(std::optional<Value> value, named_value());
    Spec spec = flags();
    BRISK_RETURN_IF_ERROR(read_sizes(format_, &at_, &spec, false));
    if (at_ >= format_.size()) return invalid_input("incomplete format");
    const char type = format_[at_++];
    if (type == '%') return out_.append("%");
    if (!value) {
      BRISK_ASSIGN_OR_RETURN(value, next_value());
    }
    if (type == 's' || type == 'r') return text_field(spec, *value, type == 'r');
    spec.type = type == 'i' || type == 'u' ? 'd' : type;
    const auto number = number_of(*value);
    if (std::string_view("dxXofFeEgG").find(spec.type) == std::string_view::npos) {
      return invalid_input("unsupported format character '{}'", type);
    }
    if (value->is_undefined()) return undefined_error(*value);
    const bool needs_integer = spec.type == 'x' || spec.type == 'X' || spec.type == 'o';
    if (!number || (needs_integer && number->is_float)) {
      return invalid_input("%{} format: a number is required, not {}", type, value->type_name());
    }
    if (spec.fill == "0") spec.align = '=';
    return append_number_field(out_, spec, *number);
  }

  absl::Status text_field(Spec spec, const Value& value, bool repr) {
    spec.fill = " ";
    if (spec.align == 0) spec.align = '>';
    TextBuilder text(out_.runtime());
    BRISK_RETURN_IF_ERROR(repr ? append_repr(text, value) : append_text(text, value));
    return append_text_field(out_, spec, text.text());
  }

  TextBuilder& out_;
  const std::string_view format_;
  const Value& values_;
  bool is_tuple_;
  size_t at_ = 0;
  size_t used_ = 0;
};

// "{...}": walks the format and looks fields up.
class BraceFormatter {
 public:
  BraceFormatter(TextBuilder& out, std::string_view format, const Arguments& arguments)
      : out_(out), format_(format), arguments_(arguments) {}

  absl::Status run() {
    while (at_ < format_.size()) {
      const size_t brace = std::min(format_.find_first_of("{}", at_), format_.size());
      BRISK_RETURN_IF_ERROR(out_.append(format_.substr(at_, brace - at_)));
      at_ = brace + 1;
      if (brace >= format_.size()) break;
      const bool doubled = at_ < format_.size() && format_[at_] == format_[brace];
      if (doubled) {
        BRISK_RETURN_IF_ERROR(out_.append(format_.substr(at_++, 1)));
      } else if (format_[brace] == '}') {
        return invalid_input("Single '}}' encountered in format string");
      } else {
        BRISK_RETURN_IF_ERROR(field());
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status field() {
    BRISK_RETURN_IF_ERROR(out_.runtime().spend_steps(1));
    const size_t close = format_.find('}', at_);
    if (close == std::string_view::npos) return invalid_input("expected '}}' before end of string");
    std::string_view inside = format_.substr(at_, close - at_);
    at_ = close + 1;
    if (inside.find('{') != std::string_view::npos) {
      return unsupported("fields inside a format's fields are not supported");
    }
    const size_t colon = std::min(inside.find(':'), inside.size());
    const std::string_view spec = inside.substr(std::min(colon + 1, inside.size()));
    inside = inside.substr(0, colon);
    const size_t bang = std::min(inside.find('!'), inside.size());
    BRISK_ASSIGN_OR_RETURN(Value value, look_up(inside.substr(0, bang)));
    if (bang == inside.size()) return append_formatted(out_, spec, value);
    const std::string_view conversion = inside.substr(bang + 1);
    if (conversion != "r" && conversion != "s") {
      return invalid_input("Unknown conversion specifier '{}'", conversion);
    }
    TextBuilder text(out_.runtime());
    BRISK_RETURN_IF_ERROR(conversion == "r" ? append_repr(text, value) : append_text(text, value));
    return append_formatted(out_, spec, text.finish());
  }

  // "name.attribute[key]..." from the arguments.
  absl::StatusOr<Value> look_up(std::string_view path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    BRISK_ASSIGN_OR_RETURN(Value value, argument(path.substr(0, end)));
    while (end < path.size()) {
      const bool is_item = path[end] == '[';
      const size_t start = end + 1;
      end =
          std::min(is_item ? path.find(']', start) : path.find_first_of(".[", start), path.size());
      const std::string_view name = path.substr(start, end - start);
      if (is_item && end++ == path.size()) return invalid_input("Missing ']' in format string");
      BRISK_ASSIGN_OR_RETURN(value, step_into(value, name, is_item));
    }
    return value;
  }

  absl::StatusOr<Value> step_into(const Value& value, std::string_view name, bool is_item) {
    if (!is_item) return get_attribute(out_.runtime(), value, name);
    if (const auto index = parse_integer(name, 10)) {
      return get_item(out_.runtime(), value, Value(*index));
    }
    return get_item(out_.runtime(), value, Value(std::string(name)));
  }

  absl::StatusOr<Value> argument(std::string_view name) {
    const auto number =
        name.empty() ? std::optional<int64_t>(automatic_++) : parse_integer(name, 10);
    if (number) {
      const auto index = static_cast<size_t>(*number);
      if (*number < 0 || index >= arguments_.positional.size()) {
        return invalid_input("Replacement index {} out of range for positional args", *number);
      }
      return arguments_.positional[index];
    }
    BRISK_RETURN_IF_ERROR(out_.runtime().spend_steps(1 + arguments_.named.size() / 16));
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return invalid_input("the format's argument '{}' is missing", name);
  }

  TextBuilder& out_;
  const std::string_view format_;
  const Arguments& arguments_;
  size_t at_ = 0;
  int64_t automatic_ = 0;
};

}  // namespace

absl::StatusOr<Value> percent_format(Runtime& runtime, const Value& format, const Value& values) {
  TextBuilder out(runtime);
  BRISK_RETURN_IF_ERROR(PercentFormatter(out, format.text(), values).run());
  return out.finish();
}

absl::StatusOr<Value> brace_format(Runtime& runtime, const Value& format,
                                   const Arguments& arguments) {
  TextBuilder out(runtime);
  BRISK_RETURN_IF_ERROR(BraceFormatter(out, format.text(), arguments).run());
  return out.finish();
}

}  // namespace brisk::jinja
