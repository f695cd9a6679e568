#include "engine/grammar/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/grammar/code_points.h"

namespace brisk {
namespace {

constexpr int kFractionDigitsMax = 16;
constexpr int kWholeDigitsMax = 18;

ByteSet bytes_of(std::string_view text) {
  ByteSet set;
  for (const char c : text) set.set(static_cast<uint8_t>(c));
  return set;
}

ExprId any_string_char(Grammar* grammar) {
  const ExprId hex = grammar->bytes(bytes_of("0123456789abcdefABCDEF"));
  const auto hexes = [&](int count) { return grammar->repeat(hex, count, count); };
  const auto one_of = [&](std::string_view text) { return grammar->bytes(bytes_of(text)); };
  CodePointSet plain = CodePointSet::all();
  CodePointSet escaped;
  escaped.add(0, 0x1F);
  escaped.add('"');
  escaped.add('\\');
  const ExprId unit =
      grammar->choice({grammar->sequence({one_of("0123456789abcefABCEF"), hexes(3)}),
                       grammar->sequence({one_of("dD"), one_of("01234567"), hexes(2)})});
  const ExprId pair =
      grammar->sequence({one_of("dD"), one_of("89abAB"), hexes(2), grammar->literal("\\u"),
                         one_of("dD"), one_of("cdefCDEF"), hexes(2)});
  return grammar->choice(
      {utf8_expr(plain.without(escaped), grammar),
       grammar->sequence({grammar->literal("\\"),
                          grammar->choice({one_of("\"\\/bfnrt"),
                                           grammar->sequence({grammar->literal("u"),
                                                              grammar->choice({unit, pair})})})})});
}

}  // namespace

std::optional<Decimal> Decimal::of(const OrderedJson& number) {
  // The shortest text, perhaps with an exponent.
  std::string text;
  if (number.is_number_unsigned()) {
    text = fmt::format("{}", number.get<uint64_t>());
  } else if (number.is_number_integer()) {
    text = fmt::format("{}", number.get<int64_t>());
  } else {
    text = fmt::format("{}", number.get<double>());
  }
  Decimal decimal;
  decimal.is_negative = text.starts_with("-");
  text.erase(0, decimal.is_negative ? 1 : 0);
  int exponent = 0;
  if (const size_t e = text.find('e'); e != std::string::npos) {
    exponent = std::stoi(text.substr(e + 1));
    text.resize(e);
  }
  if (std::abs(exponent) > 40) return std::nullopt;
  const size_t point = text.find('.');
  std::string whole = text.substr(0, point);
  std::string fraction = point == std::string::npos ? "" : text.substr(point + 1);
  for (; exponent > 0; --exponent) {
    whole += fraction.empty() ? '0' : fraction.front();
    fraction.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    fraction.insert(fraction.begin(), whole.empty() ? '0' : whole.back());
    if (!whole.empty()) whole.pop_back();
  }
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  while (fraction.ends_with('0')) fraction.pop_back();
  if (whole.size() + fraction.size() > 40) return std::nullopt;
  if (!whole.empty()) decimal.whole = whole;
  decimal.fraction = fraction;
  if (decimal.is_zero()) decimal.is_negative = false;
  return decimal;
}

JsonText::JsonText(Grammar* grammar) : grammar_(*grammar) {
  const ExprId space = grammar_.optional(grammar_.literal(" "));
  comma_ = grammar_.sequence({grammar_.literal(","), space});
  colon_ = grammar_.sequence({grammar_.literal(":"), space});
  string_char_ = any_string_char(grammar);
  any_string_ = quoted(grammar_.repeat(string_char_, 0, kUnbounded));
}

ExprId JsonText::quoted(ExprId content) {
  return grammar_.sequence({grammar_.literal("\""), content, grammar_.literal("\"")});
}

// Keys other than the named ones are spelled in one way only, so that what is not spelled like a
// name is none.
ExprId JsonText::key_except(const std::vector<std::string>& names) {
  const ExprId key = grammar_.repeat(json_char_expr(CodePointSet::all(), &grammar_), 0, kUnbounded);
  if (names.empty()) return quoted(key);
  std::vector<ExprId> spelled;
  for (const std::string& name : names) spelled.push_back(grammar_.literal(json_spelling(name)));
  return quoted(grammar_.except(key, grammar_.choice(std::move(spelled))));
}

ExprId JsonText::digit_range(char low, char high) {
  if (low > high) return grammar_.nothing();
  return grammar_.byte_range(static_cast<uint8_t>(low), static_cast<uint8_t>(high));
}

ExprId JsonText::digits(int min, int max) {
  return grammar_.repeat(digit_range('0', '9'), min, max);
}

// What may follow the whole part of a number that equals the bound's.
ExprId JsonText::fraction_at_least(const std::string& fraction, bool is_exclusive) {
  const ExprId any = digits(0, kUnbounded);
  const ExprId point = grammar_.literal(".");
  const ExprId more = grammar_.sequence({any, digit_range('1', '9'), any});
  if (fraction.empty()) {
    if (is_exclusive) return grammar_.sequence({point, more});
    return grammar_.optional(grammar_.sequence({point, digits(1, kUnbounded)}));
  }
  ExprId rest = is_exclusive ? more : any;
  for (size_t i = fraction.size(); i-- > 0;) {
    const ExprId equal = grammar_.sequence({digit_range(fraction[i], fraction[i]), rest});
    const ExprId above =
        grammar_.sequence({digit_range(static_cast<char>(fraction[i] + 1), '9'), any});
    rest = grammar_.choice({above, equal});
  }
  return grammar_.sequence({point, rest});
}

ExprId JsonText::fraction_at_most(const std::string& fraction, bool is_exclusive) {
  const ExprId any = digits(0, kUnbounded);
  const ExprId point = grammar_.literal(".");
  const ExprId zeros = grammar_.repeat(digit_range('0', '0'), 0, kUnbounded);
  if (fraction.empty()) {
    if (is_exclusive) return grammar_.nothing();
    return grammar_.optional(grammar_.sequence({point, digit_range('0', '0'), zeros}));
  }
  ExprId rest = is_exclusive ? grammar_.nothing() : zeros;
  for (size_t i = fraction.size(); i-- > 0;) {
    const ExprId equal = grammar_.sequence({digit_range(fraction[i], fraction[i]), rest});
    const ExprId below =
        grammar_.sequence({digit_range('0', static_cast<char>(fraction[i] - 1)), any});
    rest = grammar_.choice({below, equal});
    if (i > 0) rest = grammar_.optional(rest);  // to end here is to be less
  }
  return grammar_.optional(grammar_.sequence({point, rest}));
}

ExprId JsonText::any_magnitude() {
  return grammar_.sequence(
      {digits(1, kUnbounded),
       grammar_.optional(grammar_.sequence({grammar_.literal("."), digits(1, kUnbounded)}))});
}

// Digits without sign that are at least, or at most, the bound without its sign.
ExprId JsonText::magnitude(const NumberBound& bound, bool at_least) {
  const std::string& whole = bound.value.whole;
  const auto length = static_cast<int>(whole.size());
  const ExprId fraction =
      grammar_.optional(grammar_.sequence({grammar_.literal("."), digits(1, kUnbounded)}));
  const ExprId same = at_least ? fraction_at_least(bound.value.fraction, bound.is_exclusive)
                               : fraction_at_most(bound.value.fraction, bound.is_exclusive);
  std::vector<ExprId> choices{grammar_.sequence({grammar_.literal(whole), same})};
  if (at_least) {
    choices.push_back(grammar_.sequence({digits(length + 1, kUnbounded), fraction}));
  } else if (length > 1) {
    choices.push_back(grammar_.sequence({digits(1, length - 1), fraction}));
  }
  for (int i = 0; i < length; ++i) {
    const char digit = whole[static_cast<size_t>(i)];
    const ExprId other = at_least ? digit_range(static_cast<char>(digit + 1), '9')
                                  : digit_range('0', static_cast<char>(digit - 1));
    const int left = length - i - 1;
    choices.push_back(grammar_.sequence({grammar_.literal(whole.substr(0, static_cast<size_t>(i))),
                                         other, digits(left, left), fraction}));
  }
  return grammar_.choice(std::move(choices));
}

ExprId JsonText::at_least(const NumberBound& bound) {
  const ExprId minus = grammar_.literal("-");
  if (bound.value.is_negative) {
    return grammar_.choice({any_magnitude(), grammar_.sequence({minus, magnitude(bound, false)})});
  }
  return magnitude(bound, true);
}

ExprId JsonText::at_most(const NumberBound& bound) {
  const ExprId minus = grammar_.literal("-");
  if (bound.value.is_negative) return grammar_.sequence({minus, magnitude(bound, true)});
  if (bound.value.is_zero() && bound.is_exclusive) {
    return grammar_.sequence({minus, magnitude(bound, true)});
  }
  return grammar_.choice({grammar_.sequence({minus, any_magnitude()}), magnitude(bound, false)});
}

ExprId JsonText::number(bool is_integer, const NumberBounds& bounds) {
  const ExprId whole =
      grammar_.choice({grammar_.literal("0"),
                       grammar_.sequence({digit_range('1', '9'), digits(0, kWholeDigitsMax - 1)})});
  std::vector<ExprId> parts{grammar_.optional(grammar_.literal("-")), whole};
  if (!is_integer) {
    parts.push_back(grammar_.optional(
        grammar_.sequence({grammar_.literal("."), digits(1, kFractionDigitsMax)})));
  }
  const bool is_bounded = bounds.min.has_value() || bounds.max.has_value();
  if (!is_integer && !is_bounded) {
    parts.push_back(grammar_.optional(
        grammar_.sequence({grammar_.bytes(bytes_of("eE")),
                           grammar_.optional(grammar_.bytes(bytes_of("+-"))), digits(1, 2)})));
  }
  ExprId number = grammar_.sequence(std::move(parts));
  if (bounds.min.has_value()) number = grammar_.both(number, at_least(*bounds.min));
  if (bounds.max.has_value()) number = grammar_.both(number, at_most(*bounds.max));
  return number;
}

ExprId JsonText::boolean() {
  return grammar_.choice({grammar_.literal("true"), grammar_.literal("false")});
}

ExprId JsonText::null() { return grammar_.literal("null"); }

RuleId JsonText::value_rule() {
  if (value_rule_.has_value()) return *value_rule_;
  const RuleId rule = grammar_.add_rule(true);
  value_rule_ = rule;
  grammar_.define(rule, grammar_.choice({any_object(), any_array(), any_string(), number(false, {}),
                                         boolean(), null()}));
  return rule;
}

ExprId JsonText::any_value() { return grammar_.rule(value_rule()); }

ExprId JsonText::any_object() {
  const ExprId pair = grammar_.sequence({any_string(), colon_, grammar_.rule(value_rule())});
  return grammar_.sequence(
      {grammar_.literal("{"), list(pair, 0, kUnbounded), grammar_.literal("}")});
}

ExprId JsonText::any_array() {
  return grammar_.sequence({grammar_.literal("["), list(grammar_.rule(value_rule()), 0, kUnbounded),
                            grammar_.literal("]")});
}

ExprId JsonText::list(ExprId item, int min, int max) {
  if (max != kUnbounded && min > max) return grammar_.nothing();
  if (max == 0) return min == 0 ? grammar_.empty() : grammar_.nothing();
  const ExprId others = grammar_.repeat(grammar_.sequence({comma_, item}), std::max(0, min - 1),
                                        max == kUnbounded ? kUnbounded : std::max(max, 1) - 1);
  const ExprId some = grammar_.sequence({item, others});
  return min == 0 ? grammar_.optional(some) : some;
}

ExprId JsonText::items(std::vector<ExprId> prefix, ExprId other, int min, int max) {
  if (max != kUnbounded && max < std::ssize(prefix)) {
    prefix.resize(static_cast<size_t>(max));
  }
  const auto prefixed = static_cast<int>(prefix.size());
  if (prefixed == 0) return list(other, min, max);
  // What may follow when so many items are there, from the last on.
  ExprId rest = grammar_.repeat(grammar_.sequence({comma_, other}), std::max(0, min - prefixed),
                                max == kUnbounded ? kUnbounded : max - prefixed);
  for (int i = prefixed - 1; i >= 0; --i) {
    std::vector<ExprId> parts{prefix[static_cast<size_t>(i)], rest};
    if (i > 0) parts.insert(parts.begin(), comma_);
    rest = grammar_.sequence(std::move(parts));
    if (i >= min) rest = grammar_.optional(rest);
  }
  return rest;
}

// From the last member on: what may follow when none has come yet, and when one has.
ExprId JsonText::members(const std::vector<Member>& members, ExprId other) {
  ExprId first = list(other, 0, kUnbounded);
  ExprId later = grammar_.repeat(grammar_.sequence({comma_, other}), 0, kUnbounded);
  for (size_t i = members.size(); i-- > 0;) {
    const ExprId begins = grammar_.sequence({members[i].pair, later});
    const ExprId follows = grammar_.sequence({comma_, members[i].pair, later});
    first = members[i].is_required ? begins : grammar_.choice({begins, first});
    later = members[i].is_required ? follows : grammar_.choice({follows, later});
  }
  return first;
}

ExprId JsonText::value(const OrderedJson& json) {
  if (json.is_string()) {
    return quoted(grammar_.literal(json_spelling(json.get_ref<const std::string&>())));
  }
  if (!json.is_structured()) return grammar_.literal(json.dump());
  std::vector<ExprId> parts{grammar_.literal(json.is_array() ? "[" : "{")};
  for (const auto& [key, item] : json.items()) {
    if (parts.size() > 1) parts.push_back(comma_);
    if (json.is_object()) parts.push_back(quoted(grammar_.literal(json_spelling(key))));
    if (json.is_object()) parts.push_back(colon_);
    parts.push_back(value(item));
  }
  parts.push_back(grammar_.literal(json.is_array() ? "]" : "}"));
  return grammar_.sequence(std::move(parts));
}

}  // namespace brisk
