#include "model/template/python_text.h"

#include <charconv>
#include <cmath>

#include "base/status.h"
#include "model/template/namespace.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

// The shortest decimal digits that read back as the number, and where the point stands.
struct Decimal {
  std::string digits;
  int exponent;  // of the first digit
};

Decimal shortest_decimal(double magnitude) {
  char buffer[32];
  const auto result =
      std::to_chars(buffer, buffer + sizeof buffer, magnitude, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(result.ptr - buffer));
  const size_t e = text.find('e');
  Decimal decimal{.digits = std::string(1, text[0]), .exponent = 0};
  if (e > 1) decimal.digits.append(text.substr(2, e - 2));
  const size_t exponent_digits = e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + exponent_digits, text.data() + text.size(), decimal.exponent);
  return decimal;
}

class Printer {
 public:
  explicit Printer(TextBuilder& out) : out_(out) {}

  absl::Status repr(const Value& value, int level) {
    // Lists and dicts are shallow, but a namespace may contain itself.
    if (level > 2 * kValueDepthMax) return invalid_input("a value to print contains itself");
    BRISK_RETURN_IF_ERROR(out_.runtime().spend_steps(1));
    using Kind = Value::Kind;
    switch (value.kind()) {
      case Kind::kUndefined:
        return out_.append("Undefined");
      case Kind::kNone:
        return out_.append("None");
      case Kind::kBool:
        return out_.append(value.as_bool() ? "True" : "False");
      case Kind::kInt:
        return out_.append(fmt::to_string(value.as_int()));
      case Kind::kFloat:
        return out_.append(repr_of_float(value.as_float()));
      case Kind::kText:
        return out_.append(repr_of_text(value.text()));
      case Kind::kSequence:
        return repr_of_sequence(*value.sequence(), level);
      case Kind::kDict:
        return repr_of_entries(value.dict().entries, level);
      case Kind::kFunction:
        return out_.append(fmt::format("<function {}>", value.function().native->name));
      case Kind::kObject:
        return repr_of_object(*value.object(), level);
    }
    return absl::OkStatus();
  }

 private:
  struct Brackets {
    std::string_view open, close;
  };

  static Brackets brackets_of(const Sequence& sequence) {
    switch (sequence.kind) {
      case SequenceKind::kList:
        return {"[", "]"};
      case SequenceKind::kTuple:
        return {"(", sequence.items.size() == 1 ? ",)" : ")"};
      case SequenceKind::kKeys:
        return {"dict_keys([", "])"};
      case SequenceKind::kValues:
        return {"dict_values([", "])"};
      case SequenceKind::kItems:
        return {"dict_items([", "])"};
      case SequenceKind::kGenerator:
        return {"<generator object>", ""};
    }
    return {};
  }

  absl::Status repr_of_sequence(const Sequence& sequence, int level) {
    const Brackets brackets = brackets_of(sequence);
    BRISK_RETURN_IF_ERROR(out_.append(brackets.open));
    if (sequence.kind == SequenceKind::kGenerator) return absl::OkStatus();
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) BRISK_RETURN_IF_ERROR(out_.append(", "));
      BRISK_RETURN_IF_ERROR(repr(sequence.items[i], level + 1));
    }
    return out_.append(brackets.close);
  }

  absl::Status repr_of_entries(const std::vector<std::pair<Value, Value>>& entries, int level) {
    BRISK_RETURN_IF_ERROR(out_.append("{"));
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) BRISK_RETURN_IF_ERROR(out_.append(", "));
      BRISK_RETURN_IF_ERROR(repr(entries[i].first, level + 1));
      BRISK_RETURN_IF_ERROR(out_.append(": "));
      BRISK_RETURN_IF_ERROR(repr(entries[i].second, level + 1));
    }
    return out_.append("}");
  }

  absl::Status repr_of_object(const Object& object, int level) {
    const auto* name_space = dynamic_cast<const Namespace*>(&object);
    if (name_space == nullptr) return out_.append(fmt::format("<{}>", object.type_name()));
    BRISK_RETURN_IF_ERROR(out_.append("<Namespace "));
    BRISK_RETURN_IF_ERROR(repr_of_entries(name_space->entries(), level + 1));
    return out_.append(">");
  }

  TextBuilder& out_;
};

}  // namespace

std::string repr_of_float(double number) {
  if (std::isnan(number)) return "nan";
  const std::string sign = std::signbit(number) ? "-" : "";
  if (std::isinf(number)) return sign + "inf";
  auto [digits, exponent] = shortest_decimal(std::fabs(number));
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    if (count > 1) digits.insert(1, ".");
    return fmt::format("{}{}e{}{:02}", sign, digits, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  if (count <= exponent + 1)
    digits.append(static_cast<size_t>(exponent + 1 - count), '0') += ".0";
  else
    digits.insert(static_cast<size_t>(exponent + 1), ".");
  return sign + digits;
}

std::string repr_of_text(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string repr(1, quote);
  for (size_t offset = 0; offset < text.size();) {
    const size_t start = offset;
    const char32_t c = next_character(text, &offset);
    if (c == static_cast<char32_t>(quote) || c == U'\\') {
      repr += '\\';
      repr += static_cast<char>(c);
    } else if (c == U'\n') {
      repr += "\\n";
    } else if (c == U'\r') {
      repr += "\\r";
    } else if (c == U'\t') {
      repr += "\\t";
    } else if (is_printable(c)) {
      repr.append(text.substr(start, offset - start));
    } else if (c <= 0xFF) {
      repr += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c <= 0xFFFF) {
      repr += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      repr += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
  }
  return repr + quote;
}

absl::Status append_repr(TextBuilder& out, const Value& value) {
  return Printer(out).repr(value, 0);
}

absl::Status append_text(TextBuilder& out, const Value& value) {
  if (value.is_text()) return out.append(value.text());
  if (value.is_undefined()) return absl::OkStatus();
  return append_repr(out, value);
}

absl::StatusOr<Value> to_text(Runtime& runtime, const Value& value) {
  if (value.is_text()) return value;
  TextBuilder out(runtime);
  BRISK_RETURN_IF_ERROR(append_text(out, value));
  return out.finish();
}

}  // namespace brisk::jinja
