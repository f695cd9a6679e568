// A set of texts, described: what the front ends (JSON Schema, regular expressions, GBNF, choices)
// write and what the compiler (automaton.h) reads. Expressions over bytes, and rules that may
// refer to each other.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace brisk {

using ByteSet = std::bitset<256>;

struct ExprId {
  int32_t value = -1;
};

struct RuleId {
  int32_t value = -1;
};

inline constexpr size_t kGrammarExprsMax = 200'000;  // and bytes of literals, together
inline constexpr size_t kGrammarRulesMax = 2'000;
inline constexpr int kUnbounded = -1;

struct Expr {
  enum class Kind : uint8_t {
    kBytes,     // one byte of `set`
    kLiteral,   // `text`
    kSequence,  // `parts` one after the other; none: the empty text
    kChoice,    // one of `parts`; none: no text at all
    kRepeat,    // parts[0], min to max times
    kRule,      // what the rule says
    kBoth,      // texts of parts[0] that are also texts of parts[1]; both without recursion
    kExcept,    // texts of parts[0] that are not texts of parts[1]; both without recursion
  };
  Kind kind = Kind::kSequence;
  ByteSet set{};
  std::string text{};
  std::vector<ExprId> parts{};
  int min = 0;
  int max = kUnbounded;
  RuleId rule{};
};

// Expressions are immutable, and shared by whoever refers to them. One thread.
class Grammar {
 public:
  ExprId bytes(const ByteSet& set);
  ExprId byte_range(uint8_t low, uint8_t high);
  ExprId literal(std::string_view text);
  ExprId sequence(std::vector<ExprId> parts);
  ExprId choice(std::vector<ExprId> parts);
  ExprId empty() { return sequence({}); }
  ExprId nothing() { return choice({}); }
  ExprId repeat(ExprId part, int min, int max);  // REQUIRES: max is unbounded or at least min
  ExprId optional(ExprId part) { return repeat(part, 0, 1); }
  ExprId both(ExprId a, ExprId b);
  ExprId except(ExprId a, ExprId b);
  ExprId rule(RuleId rule);

  // The first one is the root: its texts are the grammar's. `is_called`: it is never written out
  // where it is referred to, because that is often or it is large.
  RuleId add_rule(bool is_called = false);
  void define(RuleId rule, ExprId body);

  // Too large for the limits above: what was added since is not in it, and it does not compile.
  bool is_too_large() const { return is_too_large_; }

  size_t expr_count() const { return exprs_.size(); }
  size_t rule_count() const { return rules_.size(); }
  const Expr& expr(ExprId id) const { return exprs_[static_cast<size_t>(id.value)]; }
  ExprId body(RuleId id) const { return rules_[static_cast<size_t>(id.value)].body; }
  bool is_called(RuleId id) const { return rules_[static_cast<size_t>(id.value)].is_called; }

 private:
  struct Rule {
    ExprId body{};  // undefined: no text
    bool is_called = false;
  };

  ExprId add(Expr expr);

  std::vector<Expr> exprs_;
  std::vector<Rule> rules_;
  size_t size_ = 0;
  bool is_too_large_ = false;
};

}  // namespace brisk
