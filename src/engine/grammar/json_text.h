// The parts that JSON texts are made of, as expressions. Between the marks of JSON stands one space
// at most, after ':' and ','; numbers are short enough for every reader: integers have up to 18
// digits, fractions up to 16, exponents up to 2.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/grammar/grammar.h"

namespace brisk {

// A number in decimal digits: [-]whole.fraction, without needless zeros.
struct Decimal {
  bool is_negative = false;
  std::string whole = "0";
  std::string fraction{};

  bool is_zero() const { return whole == "0" && fraction.empty(); }
  // Nothing for numbers of more than 40 digits.
  static std::optional<Decimal> of(const OrderedJson& number);
};

struct NumberBound {
  Decimal value;
  bool is_exclusive = false;
};

struct NumberBounds {
  std::optional<NumberBound> min{};
  std::optional<NumberBound> max{};
};

class JsonText {
 public:
  explicit JsonText(Grammar* grammar);

  ExprId comma() const { return comma_; }
  ExprId colon() const { return colon_; }
  ExprId quoted(ExprId content);
  // A character of a string, in any spelling.
  ExprId string_char() const { return string_char_; }
  ExprId any_string() const { return any_string_; }
  // A key that is none of `names`, which it may not be in any spelling.
  ExprId key_except(const std::vector<std::string>& names);
  ExprId number(bool is_integer, const NumberBounds& bounds);
  ExprId boolean();
  ExprId null();
  ExprId any_value();
  ExprId any_object();
  ExprId any_array();
  // Exactly this value.
  ExprId value(const OrderedJson& json);

  // `item` and others after commas, min to max times. `item` is not empty.
  ExprId list(ExprId item, int min, int max);
  // The items of an array: those of `prefix`, then others; min to max in all.
  ExprId items(std::vector<ExprId> prefix, ExprId other, int min, int max);
  // The members of an object, in this order, with the optional ones or without them; then others.
  struct Member {
    ExprId pair;  // key and value
    bool is_required = false;
  };
  ExprId members(const std::vector<Member>& members, ExprId other);

 private:
  ExprId digits(int min, int max);
  ExprId digit_range(char low, char high);
  ExprId fraction_at_least(const std::string& fraction, bool is_exclusive);
  ExprId fraction_at_most(const std::string& fraction, bool is_exclusive);
  ExprId magnitude(const NumberBound& bound, bool at_least);
  ExprId any_magnitude();
  ExprId at_least(const NumberBound& bound);
  ExprId at_most(const NumberBound& bound);
  RuleId value_rule();

  Grammar& grammar_;
  ExprId comma_;
  ExprId colon_;
  ExprId string_char_;
  ExprId any_string_;
  std::optional<RuleId> value_rule_;
};

}  // namespace brisk
