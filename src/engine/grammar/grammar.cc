#include "engine/grammar/grammar.h"

#include <utility>

#include "base/check.h"

namespace brisk {

ExprId Grammar::add(Expr expr) {
  size_ += 1 + expr.text.size() + expr.parts.size();
  if (size_ > kGrammarExprsMax) is_too_large_ = true;
  // What comes now is never compiled; any expression will do.
  if (is_too_large_ && !exprs_.empty()) return {0};
  exprs_.push_back(std::move(expr));
  return {static_cast<int32_t>(exprs_.size()) - 1};
}

ExprId Grammar::bytes(const ByteSet& set) { return add({.kind = Expr::Kind::kBytes, .set = set}); }

ExprId Grammar::byte_range(uint8_t low, uint8_t high) {
  ByteSet set;
  for (int byte = low; byte <= high; ++byte) set.set(static_cast<size_t>(byte));
  return bytes(set);
}

ExprId Grammar::literal(std::string_view text) {
  return add({.kind = Expr::Kind::kLiteral, .text = std::string(text)});
}

ExprId Grammar::sequence(std::vector<ExprId> parts) {
  if (parts.size() == 1) return parts[0];
  return add({.kind = Expr::Kind::kSequence, .parts = std::move(parts)});
}

ExprId Grammar::choice(std::vector<ExprId> parts) {
  if (parts.size() == 1) return parts[0];
  return add({.kind = Expr::Kind::kChoice, .parts = std::move(parts)});
}

ExprId Grammar::repeat(ExprId part, int min, int max) {
  BRISK_CHECK(min >= 0 && (max == kUnbounded || max >= min));
  return add({.kind = Expr::Kind::kRepeat, .parts = {part}, .min = min, .max = max});
}

ExprId Grammar::both(ExprId a, ExprId b) {
  return add({.kind = Expr::Kind::kBoth, .parts = {a, b}});
}

ExprId Grammar::except(ExprId a, ExprId b) {
  return add({.kind = Expr::Kind::kExcept, .parts = {a, b}});
}

ExprId Grammar::rule(RuleId rule) { return add({.kind = Expr::Kind::kRule, .rule = rule}); }

RuleId Grammar::add_rule(bool is_called) {
  if (rules_.size() >= kGrammarRulesMax) {
    is_too_large_ = true;
    return {0};
  }
  rules_.push_back({.is_called = is_called});
  return {static_cast<int32_t>(rules_.size()) - 1};
}

void Grammar::define(RuleId rule, ExprId body) {
  rules_[static_cast<size_t>(rule.value)].body = body;
}

}  // namespace brisk
