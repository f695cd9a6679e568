#include "engine/grammar/regex_grammar.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/grammar/code_points.h"

namespace brisk {
namespace {

constexpr int kDepthMax = 100;
constexpr int kCountMax = 100'000;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The set of \d, \w, \s and their complements; nothing for other letters.
std::optional<CodePointSet> class_of(char letter) {
  CodePointSet set;
  switch (letter) {
    case 'd':
    case 'D':
      set.add('0', '9');
      break;
    case 'w':
    case 'W':
      set.add('0', '9');
      set.add('a', 'z');
      set.add('A', 'Z');
      set.add('_');
      break;
    case 's':
    case 'S':
      set.add('\t', '\r');
      set.add(' ');
      break;
    default:
      return std::nullopt;
  }
  return letter < 'a' ? set.complement() : set;
}

std::optional<uint32_t> control_of(char letter) {
  switch (letter) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '0':
      return 0;
    default:
      return std::nullopt;
  }
}

// Recursive descent. The first fault stays; what is parsed after it is not used.
class RegexParser {
 public:
  RegexParser(std::string_view pattern, RegexOptions options, Grammar* grammar)
      : pattern_(pattern), rest_(pattern), options_(options), grammar_(*grammar) {}

  absl::StatusOr<ExprId> run() {
    if (pattern_.size() > kRegexBytesMax) {
      return invalid_input("the regex has {} bytes; at most {} are allowed", pattern_.size(),
                           kRegexBytesMax);
    }
    const ExprId expr = parse_choice(0);
    if (status_.ok() && !rest_.empty()) fail("')' without '('");
    if (!status_.ok()) return status_;
    return expr;
  }

 private:
  void fail(std::string_view what) {
    if (!status_.ok()) return;
    status_ = invalid_input("the regex is not supported at byte {}: {}",
                            pattern_.size() - rest_.size(), what);
  }

  bool at(std::string_view text) const { return rest_.starts_with(text); }
  bool take(std::string_view text) {
    if (!at(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  bool ends_choice() const { return !status_.ok() || rest_.empty() || at("|") || at(")"); }

  ExprId char_expr(const CodePointSet& set) {
    return options_.in_json_string ? json_char_expr(set, &grammar_) : utf8_expr(set, &grammar_);
  }

  ExprId anything() { return grammar_.repeat(char_expr(CodePointSet::all()), 0, kUnbounded); }

  ExprId parse_choice(int depth) {
    if (depth > kDepthMax) fail("groups are nested too deeply");
    std::vector<ExprId> choices;
    do {
      choices.push_back(parse_sequence(depth));
    } while (status_.ok() && take("|"));
    return grammar_.choice(std::move(choices));
  }

  ExprId parse_sequence(int depth) {
    std::vector<ExprId> parts;
    bool has_begin = false;
    bool has_end = false;
    if (depth == 0) {
      while (take("^")) has_begin = true;
    }
    while (!ends_choice()) {
      if (depth == 0 && take("$")) {
        has_end = true;
        while (take("$")) continue;
        if (!ends_choice()) fail("'$' is only supported at the end");
        break;
      }
      parts.push_back(parse_repeat(depth));
    }
    if (options_.searches && depth == 0) {
      if (!has_begin) parts.insert(parts.begin(), anything());
      if (!has_end) parts.push_back(anything());
    }
    return grammar_.sequence(std::move(parts));
  }

  ExprId parse_repeat(int depth) {
    const ExprId atom = parse_atom(depth);
    int min = 1;
    int max = 1;
    if (take("*")) {
      min = 0;
      max = kUnbounded;
    } else if (take("+")) {
      max = kUnbounded;
    } else if (take("?")) {
      min = 0;
    } else if (!take_counts(&min, &max)) {
      return atom;
    }
    take("?");  // as few as possible: the same texts
    if (at("+")) fail("possessive repetition is not supported");
    if (at("*") || at("?") || at_counts()) fail("a repetition of a repetition needs a group");
    return status_.ok() ? grammar_.repeat(atom, min, max) : atom;
  }

  bool at_counts() {
    const std::string_view before = rest_;
    int min = 0;
    int max = 0;
    const bool are_there = take_counts(&min, &max);
    rest_ = before;
    return are_there;
  }

  // {m}, {m,} or {m,n}; a brace that begins none of them is a character.
  bool take_counts(int* min, int* max) {
    const std::string_view before = rest_;
    if (!take("{") || !take_count(min)) {
      rest_ = before;
      return false;
    }
    *max = *min;
    if (take(",")) {
      *max = kUnbounded;
      if (!at("}")) take_count(max);
    }
    if (!take("}")) {
      rest_ = before;
      return false;
    }
    if (*max != kUnbounded && *max < *min) {
      *max = *min;
      fail("a repetition's most is less than its least");
    }
    return true;
  }

  bool take_count(int* count) {
    if (rest_.empty() || rest_[0] < '0' || rest_[0] > '9') return false;
    *count = 0;
    while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
      *count = *count * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
      if (*count <= kCountMax) continue;
      *count = kCountMax;
      fail("a repetition counts further than 100000");
    }
    return true;
  }

  ExprId parse_atom(int depth) {
    if (take("(")) return parse_group(depth);
    if (at("[")) return char_expr(parse_class());
    if (at("\\")) return char_expr(parse_escape(false));
    if (take(".")) {
      CodePointSet line_ends;
      line_ends.add('\n');
      line_ends.add('\r');
      return char_expr(line_ends.complement());
    }
    if (at("*") || at("+") || at("?") || at_counts()) fail("there is nothing to repeat");
    if (at("^")) fail("'^' is only supported at the beginning");
    if (at("$")) fail("'$' is only supported at the end, outside of groups");
    return char_expr(parse_char());
  }

  CodePointSet parse_char() {
    CodePointSet set;
    const std::optional<uint32_t> code_point = take_code_point(&rest_);
    if (!code_point.has_value()) {
      fail(rest_.empty() ? "it ends too early" : "it is not UTF-8");
    } else {
      set.add(*code_point);
    }
    return set;
  }

  ExprId parse_group(int depth) {
    if (take("?:")) {
    } else if (at("?<") && !at("?<=") && !at("?<!")) {
      take_name();
    } else if (at("?P<")) {
      take("?P");
      take_name();
    } else if (at("?")) {
      fail("of groups only ( ), (?: ) and (?<name> ) are supported");
    }
    const ExprId expr = parse_choice(depth + 1);
    if (status_.ok() && !take(")")) fail("a group is not closed");
    return expr;
  }

  void take_name() {
    const size_t end = rest_.find('>');
    if (end == std::string_view::npos) return fail("a group's name is not closed");
    rest_.remove_prefix(end + 1);
  }

  // \d, \n, \x41, \., ...: one character or a class of them.
  CodePointSet parse_escape(bool in_class) {
    CodePointSet set;
    const std::string_view before = rest_;
    take("\\");
    if (rest_.empty()) {
      fail("it ends with a backslash");
      return set;
    }
    const char letter = rest_[0];
    rest_.remove_prefix(1);
    if (const auto known = class_of(letter)) return *known;
    if (const auto control = control_of(letter)) {
      set.add(*control);
    } else if (letter == 'x' || letter == 'u') {
      set.add(parse_hex(letter == 'x' ? 2 : 4));
    } else if (in_class && letter == 'b') {
      set.add('\b');
    } else if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '1' && letter <= '9') || static_cast<uint8_t>(letter) >= 0x80) {
      rest_ = before;
      fail("this escape is not supported");
    } else {
      set.add(static_cast<uint8_t>(letter));
    }
    return set;
  }

  uint32_t parse_hex(int digits) {
    const bool in_braces = digits == 4 && take("{");
    uint32_t value = 0;
    int count = 0;
    for (; count < (in_braces ? 6 : digits) && !rest_.empty() && hex_value(rest_[0]) >= 0;
         ++count) {
      value = value * 16 + static_cast<uint32_t>(hex_value(rest_[0]));
      rest_.remove_prefix(1);
    }
    const bool is_whole = in_braces ? count > 0 && take("}") : count == digits;
    if (!is_whole || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      fail("the escape is no character");
      return 0;
    }
    return value;
  }

  CodePointSet parse_class() {
    take("[");
    const bool is_negated = take("^");
    CodePointSet set;
    bool is_first = true;
    while (status_.ok() && !(at("]") && !is_first)) {
      is_first = false;
      if (rest_.empty() || at("[:")) {
        fail(rest_.empty() ? "a class is not closed" : "POSIX classes are not supported");
        break;
      }
      parse_class_item(&set);
    }
    take("]");
    return is_negated ? set.complement() : set;
  }

  void parse_class_item(CodePointSet* set) {
    const CodePointSet low = at("\\") ? parse_escape(true) : parse_char();
    set->add(low);
    const bool is_range = at("-") && !at("-]") && rest_.size() > 1;
    const auto first = low.ranges();
    if (!is_range || first.size() != 1 || first[0].low != first[0].high) return;
    take("-");
    const auto last = (at("\\") ? parse_escape(true) : parse_char()).ranges();
    if (last.size() != 1 || last[0].low != last[0].high || last[0].low < first[0].low) {
      return fail("a range of a class has no end, or ends before it begins");
    }
    set->add(first[0].low, last[0].low);
  }

  const std::string_view pattern_;
  std::string_view rest_;
  const RegexOptions options_;
  Grammar& grammar_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<ExprId> regex_expr(std::string_view pattern, RegexOptions options,
                                  Grammar* grammar) {
  return RegexParser(pattern, options, grammar).run();
}

absl::StatusOr<Grammar> regex_grammar(std::string_view pattern) {
  Grammar grammar;
  const RuleId root = grammar.add_rule();
  BRISK_ASSIGN_OR_RETURN(const ExprId body, regex_expr(pattern, {}, &grammar));
  grammar.define(root, body);
  return grammar;
}

}  // namespace brisk
