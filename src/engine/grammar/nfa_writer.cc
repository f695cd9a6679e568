#include "engine/grammar/nfa_writer.h"

#include <map>
#include <utility>

#include "engine/grammar/automaton.h"

namespace brisk {
namespace {

// Works from the end to the beginning: each function returns the state from which its expression
// and then whatever begins at `next` is read.
class NfaWriter {
 public:
  explicit NfaWriter(CompileContext* context) : context_(*context) {}

  Nfa run(ExprId expr) {
    const int32_t end = add({.kind = Nfa::Kind::kAccept});
    nfa_.start = write(expr, end);
    return std::move(nfa_);
  }

 private:
  int32_t add(Nfa::State state) {
    if (nfa_.states.size() >= kNfaStatesMax || !context_.budget.spend(1)) {
      context_.budget.exhaust();
      return 0;
    }
    nfa_.states.push_back(state);
    return static_cast<int32_t>(nfa_.states.size()) - 1;
  }

  // What is shared among expressions and goes on alike is written once.
  int32_t write(ExprId id, int32_t next) {
    if (context_.budget.is_spent()) return next;
    const std::pair<int32_t, int32_t> key(id.value, next);
    if (const auto found = written_.find(key); found != written_.end()) return found->second;
    const int32_t begin = write_anew(id, next);
    written_.emplace(key, begin);
    return begin;
  }

  int32_t write_anew(ExprId id, int32_t next) {
    const Expr& expr = context_.grammar.expr(id);
    switch (expr.kind) {
      case Expr::Kind::kBytes:
        return add({.kind = Nfa::Kind::kBytes, .what = set_of(id), .next = next});
      case Expr::Kind::kLiteral:
        for (size_t i = expr.text.size(); i-- > 0;) {
          const uint8_t symbol = context_.classes.of[static_cast<uint8_t>(expr.text[i])];
          next = add({.kind = Nfa::Kind::kBytes, .what = single(symbol), .next = next});
        }
        return next;
      case Expr::Kind::kSequence:
        for (size_t i = expr.parts.size(); i-- > 0;) next = write(expr.parts[i], next);
        return next;
      case Expr::Kind::kChoice:
        return write_choice(expr, next);
      case Expr::Kind::kRepeat:
        return write_repeat(expr, next);
      case Expr::Kind::kRule:
        return write_rule(expr.rule, next);
      case Expr::Kind::kBoth:
      case Expr::Kind::kExcept:
        return write_product(id, next);
    }
    return next;
  }

  int32_t write_choice(const Expr& expr, int32_t next) {
    int32_t begin = -1;
    for (size_t i = expr.parts.size(); i-- > 0;) {
      const int32_t part = write(expr.parts[i], next);
      begin = begin < 0 ? part : add({.what = part, .next = begin});
    }
    return begin < 0 ? add({}) : begin;  // a state that leads nowhere
  }

  int32_t write_repeat(const Expr& expr, int32_t next) {
    int32_t begin = next;
    if (expr.max == kUnbounded) {
      begin = add({.next = next});
      const int32_t part = write(expr.parts[0], begin);
      if (!context_.budget.is_spent()) nfa_.states[static_cast<size_t>(begin)].what = part;
    }
    for (int i = expr.min; i < expr.max && !context_.budget.is_spent(); ++i) {
      begin = add({.what = write(expr.parts[0], begin), .next = next});
    }
    for (int i = 0; i < expr.min && !context_.budget.is_spent(); ++i) {
      begin = write(expr.parts[0], begin);
    }
    return begin;
  }

  int32_t write_rule(RuleId rule, int32_t next) {
    if (context_.plan.is_called[static_cast<size_t>(rule.value)]) {
      return add({.kind = Nfa::Kind::kCall, .what = rule.value, .next = next});
    }
    const ExprId body = context_.grammar.body(rule);
    return body.value < 0 ? add({}) : write(body, next);
  }

  int32_t write_product(ExprId id, int32_t next) {
    auto found = context_.products.find(id.value);
    if (found == context_.products.end()) {
      const Expr& expr = context_.grammar.expr(id);
      const Dfa a = compile_expression(expr.parts[0], &context_);
      const Dfa b = compile_expression(expr.parts[1], &context_);
      const bool both = expr.kind == Expr::Kind::kBoth;
      const Dfa product =
          both ? intersection(a, b, &context_.budget) : difference(a, b, &context_.budget);
      const std::vector<bool> all(
          static_cast<size_t>(context_.classes.count) + context_.grammar.rule_count(), true);
      Dfa small = minimize(trim(product, all, &context_.budget), &context_.budget);
      found = context_.products.emplace(id.value, std::move(small)).first;
    }
    const Dfa dfa = found->second;  // writing may add others
    return dfa.states.empty() ? add({}) : write_automaton(dfa, next);
  }

  int32_t write_automaton(const Dfa& dfa, int32_t next) {
    std::vector<int32_t> begins;
    for (size_t i = 0; i < dfa.states.size(); ++i) begins.push_back(add({}));
    for (size_t i = 0; i < dfa.states.size() && !context_.budget.is_spent(); ++i) {
      std::map<int32_t, std::vector<uint8_t>> symbols;  // by target
      for (const Dfa::Edge& edge : dfa.states[i].edges) {
        symbols[edge.to].push_back(static_cast<uint8_t>(edge.symbol));
      }
      int32_t chain = dfa.states[i].is_accepting ? next : -1;
      for (auto& [to, set] : symbols) {
        nfa_.sets.push_back(std::move(set));
        const int32_t reads = add({.kind = Nfa::Kind::kBytes,
                                   .what = static_cast<int32_t>(nfa_.sets.size()) - 1,
                                   .next = begins[static_cast<size_t>(to)]});
        chain = add({.what = reads, .next = chain});
      }
      if (!context_.budget.is_spent()) nfa_.states[static_cast<size_t>(begins[i])].next = chain;
    }
    return begins[0];
  }

  int32_t single(uint8_t symbol) {
    const auto [place, is_new] =
        singles_.try_emplace(symbol, static_cast<int32_t>(nfa_.sets.size()));
    if (is_new) nfa_.sets.push_back({symbol});
    return place->second;
  }

  int32_t set_of(ExprId id) {
    const auto [place, is_new] =
        sets_.try_emplace(id.value, static_cast<int32_t>(nfa_.sets.size()));
    if (!is_new) return place->second;
    std::vector<bool> has(static_cast<size_t>(context_.classes.count));
    for (size_t byte = 0; byte < 256; ++byte) {
      if (context_.grammar.expr(id).set[byte]) has[context_.classes.of[byte]] = true;
    }
    std::vector<uint8_t> set;
    for (size_t i = 0; i < has.size(); ++i) {
      if (has[i]) set.push_back(static_cast<uint8_t>(i));
    }
    nfa_.sets.push_back(std::move(set));
    return place->second;
  }

  CompileContext& context_;
  Nfa nfa_;
  absl::flat_hash_map<std::pair<int32_t, int32_t>, int32_t> written_;  // (expression, next)
  absl::flat_hash_map<uint8_t, int32_t> singles_;                      // class -> of nfa_.sets
  absl::flat_hash_map<int32_t, int32_t> sets_;                         // expression -> of nfa_.sets
};

}  // namespace

Dfa compile_expression(ExprId expr, CompileContext* context) {
  const Nfa nfa = NfaWriter(context).run(expr);
  Dfa dfa = determinize(nfa, context->classes, &context->budget);
  const std::vector<bool> all(
      static_cast<size_t>(context->classes.count) + context->grammar.rule_count(), true);
  dfa = trim(dfa, all, &context->budget);
  return minimize(dfa, &context->budget);
}

}  // namespace brisk
