#include "engine/grammar/rule_plan.h"

#include <algorithm>

#include "engine/grammar/automaton.h"

namespace brisk {
namespace {

constexpr size_t kInlineSizeMax = 256;  // states of a rule that is written out more than once
constexpr int kInlineHeightMax = 16;    // of rules written out within each other

// Looks at rules depth first, so that those a rule refers to are decided before it (Tarjan's
// strongly connected components tell which are recursive).
class RulePlanner {
 public:
  explicit RulePlanner(const Grammar& grammar)
      : grammar_(grammar),
        rules_(grammar.rule_count()),
        size_(grammar.expr_count(), kUnknown),
        height_(grammar.expr_count(), 0) {}

  RulePlan run() {
    for (size_t i = 0; i < grammar_.expr_count(); ++i) {
      const Expr& expr = grammar_.expr({static_cast<int32_t>(i)});
      if (expr.kind == Expr::Kind::kRule) ++rules_[static_cast<size_t>(expr.rule.value)].mentions;
    }
    visit({0});
    RulePlan plan;
    for (const Rule& rule : rules_) {
      plan.is_called.push_back(rule.is_called);
      plan.is_possible.push_back(rule.order > 0);
    }
    return plan;
  }

 private:
  static constexpr size_t kUnknown = SIZE_MAX;
  struct Rule {
    int order = 0;  // of the first visit, from 1
    int low = 0;
    int mentions = 0;
    bool is_open = false;
    bool is_called = false;
    size_t size = 0;
    int height = 0;
  };

  Rule& rule_of(RuleId id) { return rules_[static_cast<size_t>(id.value)]; }

  // A rule whose mentions are being looked at, each expression once.
  struct Visit {
    RuleId id;
    std::vector<ExprId> todo;
    std::vector<bool> seen;  // (expressions)
  };

  // Not recursive: rules may refer to each other in a chain as long as the grammar.
  void visit(RuleId root) {
    std::vector<Visit> visits;
    visits.push_back(begin(root));
    while (!visits.empty()) {
      Visit& visit = visits.back();
      if (visit.todo.empty()) {
        finish(visit.id);
        visits.pop_back();
        continue;
      }
      const ExprId at = visit.todo.back();
      const Expr& expr = grammar_.expr(at);
      const bool is_rule = expr.kind == Expr::Kind::kRule;
      if (is_rule && rule_of(expr.rule).order == 0) {  // this one comes again when that is done
        visits.push_back(begin(expr.rule));
        continue;
      }
      visit.todo.pop_back();
      if (visit.seen[static_cast<size_t>(at.value)]) continue;
      visit.seen[static_cast<size_t>(at.value)] = true;
      visit.todo.insert(visit.todo.end(), expr.parts.begin(), expr.parts.end());
      if (!is_rule) continue;
      Rule& rule = rule_of(visit.id);
      const Rule& other = rule_of(expr.rule);
      if (other.is_open) rule.low = std::min(rule.low, other.low);
      if (&other == &rule) rule.is_called = true;
    }
  }

  Visit begin(RuleId id) {
    Rule& rule = rule_of(id);
    rule.order = rule.low = ++visited_;
    rule.is_open = true;
    open_.push_back(id);
    Visit visit = {.id = id, .todo = {}, .seen = std::vector<bool>(grammar_.expr_count())};
    if (const ExprId body = grammar_.body(id); body.value >= 0) visit.todo.push_back(body);
    return visit;
  }

  void finish(RuleId id) {
    Rule& rule = rule_of(id);
    if (rule.low == rule.order) close(id);
    if (const ExprId body = grammar_.body(id); body.value >= 0) {
      rule.size = measure(body);
      rule.height = 1 + height_[static_cast<size_t>(body.value)];
    }
    const bool is_large = rule.size > kInlineSizeMax && rule.mentions > 1;
    rule.is_called |= grammar_.is_called(id) || is_large || rule.height > kInlineHeightMax;
  }

  // A component of rules that refer to each other is complete.
  void close(RuleId root) {
    const bool is_alone = open_.back().value == root.value;
    for (bool more = true; more;) {
      const RuleId id = open_.back();
      open_.pop_back();
      rule_of(id).is_open = false;
      if (!is_alone) rule_of(id).is_called = true;
      more = id.value != root.value;
    }
  }

  static size_t bounded(size_t size) { return std::min(size, kNfaStatesMax + 1); }

  // The NFA states of an expression, counting shared ones for each that shares them, and how many
  // rules are written out within each other. Those it mentions are either decided or in its
  // component, and so called.
  size_t measure(ExprId id) {
    size_t& known = size_[static_cast<size_t>(id.value)];
    if (known != kUnknown) return known;
    const Expr& expr = grammar_.expr(id);
    size_t size = 1 + expr.text.size() + expr.parts.size();
    int height = 0;
    for (const ExprId part : expr.parts) {
      size = bounded(size + measure(part));
      height = std::max(height, height_[static_cast<size_t>(part.value)]);
    }
    if (expr.kind == Expr::Kind::kRepeat) {
      const auto times = static_cast<size_t>(expr.max == kUnbounded ? expr.min + 1 : expr.max);
      size = bounded((measure(expr.parts[0]) + 1) * std::max<size_t>(times, 1));
    }
    if (expr.kind == Expr::Kind::kRule) {
      const Rule& rule = rule_of(expr.rule);
      const bool is_written_out = !rule.is_called && !rule.is_open;
      if (is_written_out) size = bounded(rule.size + 1);
      if (is_written_out) height = rule.height;
    }
    height_[static_cast<size_t>(id.value)] = height;
    return known = size;
  }

  const Grammar& grammar_;
  std::vector<Rule> rules_;
  std::vector<size_t> size_;  // (expressions)
  std::vector<int> height_;   // (expressions)
  std::vector<RuleId> open_;
  int visited_ = 0;
};

}  // namespace

RulePlan plan_rules(const Grammar& grammar) { return RulePlanner(grammar).run(); }

}  // namespace brisk
