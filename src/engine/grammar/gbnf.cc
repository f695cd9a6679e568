#include "engine/grammar/gbnf.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/grammar/code_points.h"

namespace brisk {
namespace {

constexpr int kDepthMax = 100;
constexpr int kCountMax = 100'000;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

// Recursive descent. The first fault stays; what is parsed after it is not used.
class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text) : text_(text), rest_(text) {}

  absl::StatusOr<Grammar> run() {
    if (text_.size() > kGbnfBytesMax) {
      return invalid_input("the grammar has {} bytes; at most {} are allowed", text_.size(),
                           kGbnfBytesMax);
    }
    rule_named("root");  // the first
    skip_space(true);
    while (status_.ok() && !rest_.empty()) {
      parse_rule();
      skip_space(true);
    }
    for (const auto& [name, rule] : rules_) {
      if (status_.ok() && !rule.is_defined) {
        status_ = invalid_input("the grammar has no rule \"{}\"", name);
      }
    }
    if (!status_.ok()) return status_;
    return std::move(grammar_);
  }

 private:
  struct Rule {
    RuleId id;
    bool is_defined = false;
  };

  void fail(std::string_view what) {
    if (!status_.ok()) return;
    const auto line = 1 + std::ranges::count(text_.substr(0, text_.size() - rest_.size()), '\n');
    status_ = invalid_input("the grammar is wrong in line {}: {}", line, what);
    rest_ = {};
  }

  bool at(char c) const { return !rest_.empty() && rest_[0] == c; }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  // Spaces and comments; and the ends of lines where they mean nothing.
  void skip_space(bool over_lines) {
    while (!rest_.empty()) {
      if (at('#')) {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (at(' ') || at('\t') || (over_lines && (at('\n') || at('\r')))) {
        rest_.remove_prefix(1);
      } else {
        return;
      }
    }
  }

  // Also over the ends of lines, if a '|' comes then.
  void skip_space_before_choice() {
    skip_space(false);
    const std::string_view before = rest_;
    skip_space(true);
    if (!at('|')) rest_ = before;
  }

  std::string_view take_name() {
    size_t length = 0;
    while (length < rest_.size() && is_name_char(rest_[length])) ++length;
    const std::string_view name = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return name;
  }

  Rule& rule_named(std::string_view name) {
    const auto [place, is_new] = rules_.try_emplace(std::string(name));
    if (is_new) place->second.id = grammar_.add_rule();
    return place->second;
  }

  void parse_rule() {
    const std::string name(take_name());
    if (name.empty()) return fail("a rule begins with its name");
    skip_space(false);
    if (!take("::=")) return fail("'::=' comes after a rule's name");
    skip_space(true);
    const ExprId body = parse_choice(0);
    if (!rest_.empty() && !at('\n') && !at('\r')) return fail("what is here belongs to no rule");
    Rule& rule = rule_named(name);
    if (rule.is_defined) return fail("the rule is defined a second time");
    rule.is_defined = true;
    grammar_.define(rule.id, body);
  }

  ExprId parse_choice(int depth) {
    if (depth > kDepthMax) fail("groups are nested too deeply");
    std::vector<ExprId> choices{parse_sequence(depth)};
    while (take("|")) {
      skip_space(true);
      choices.push_back(parse_sequence(depth));
    }
    return grammar_.choice(std::move(choices));
  }

  ExprId parse_sequence(int depth) {
    std::vector<ExprId> parts;
    while (!rest_.empty() && !at('|') && !at(')') && !at('\n') && !at('\r')) {
      parts.push_back(parse_repeats(parse_atom(depth)));
      if (depth > 0) skip_space(true);
      if (depth == 0) skip_space_before_choice();
    }
    return grammar_.sequence(std::move(parts));
  }

  ExprId parse_repeats(ExprId part) {
    while (true) {
      skip_space(false);
      if (take("*")) {
        part = grammar_.repeat(part, 0, kUnbounded);
      } else if (take("+")) {
        part = grammar_.repeat(part, 1, kUnbounded);
      } else if (take("?")) {
        part = grammar_.optional(part);
      } else if (take("{")) {
        const int min = take_count();
        int max = min;
        if (take(",")) max = at('}') ? kUnbounded : take_count();
        if (!take("}")) fail("counts are {m}, {m,} or {m,n}");
        if (max != kUnbounded && max < min) fail("the most is less than the least");
        if (!status_.ok()) return part;
        part = grammar_.repeat(part, min, max);
      } else {
        return part;
      }
      if (++repeats_ > kCountMax) fail("there are too many repetitions");
    }
  }

  int take_count() {
    if (rest_.empty() || rest_[0] < '0' || rest_[0] > '9') fail("counts are {m}, {m,} or {m,n}");
    int count = 0;
    while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
      count = std::min(count * 10 + (rest_[0] - '0'), kCountMax + 1);
      rest_.remove_prefix(1);
    }
    if (count > kCountMax) fail("a repetition counts further than 100000");
    return count;
  }

  ExprId parse_atom(int depth) {
    if (take("\"")) return parse_literal();
    if (take("[")) return parse_class();
    if (take(".")) return utf8_expr(CodePointSet::all(), &grammar_);
    if (take("(")) {
      skip_space(true);
      const ExprId group = parse_choice(depth + 1);
      if (!take(")")) fail("a group is not closed");
      return group;
    }
    const std::string_view name = take_name();
    if (!name.empty()) return grammar_.rule(rule_named(name).id);
    fail("a rule's name, \"text\", [characters] or ( is expected here");
    return grammar_.empty();
  }

  ExprId parse_literal() {
    std::string text;
    while (!rest_.empty() && !at('"')) text += utf8_of(parse_char());
    if (!take("\"")) fail("the quotation mark is not closed");
    return grammar_.literal(text);
  }

  ExprId parse_class() {
    const bool is_negated = take("^");
    CodePointSet set;
    while (!rest_.empty() && !at(']')) {
      const uint32_t low = parse_char();
      const bool is_range = at('-') && !rest_.starts_with("-]");
      if (is_range) take("-");
      const uint32_t high = is_range ? parse_char() : low;
      if (high < low) fail("a range ends before it begins");
      set.add(low, std::max(low, high));
    }
    if (!take("]")) fail("'[' is not closed");
    return utf8_expr(is_negated ? set.complement() : set, &grammar_);
  }

  uint32_t parse_char() {
    if (take("\\")) return parse_escape();
    const std::optional<uint32_t> code_point = take_code_point(&rest_);
    if (!code_point.has_value()) fail("it is not UTF-8, or ends too early");
    return code_point.value_or(0);
  }

  uint32_t parse_escape() {
    if (take("n")) return '\n';
    if (take("r")) return '\r';
    if (take("t")) return '\t';
    if (take("x")) return parse_hex(2);
    if (take("u")) return parse_hex(4);
    if (take("U")) return parse_hex(8);
    for (const std::string_view plain : {"\\", "\"", "[", "]", "-", "^"}) {
      if (take(plain)) return static_cast<uint8_t>(plain[0]);
    }
    fail("this escape is not supported");
    return 0;
  }

  uint32_t parse_hex(size_t digits) {
    const std::string_view text = rest_.substr(0, digits);
    const bool is_hex = text.size() == digits &&
                        text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
    const uint64_t value = is_hex ? std::stoull(std::string(text), nullptr, 16) : UINT64_MAX;
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      fail("the escape is no character");
      return 0;
    }
    rest_.remove_prefix(digits);
    return static_cast<uint32_t>(value);
  }

  const std::string_view text_;
  std::string_view rest_;
  Grammar grammar_;
  absl::flat_hash_map<std::string, Rule> rules_;
  int repeats_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Grammar> gbnf_grammar(std::string_view text) { return GbnfParser(text).run(); }

}  // namespace brisk
