#include "engine/grammar/automaton.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "engine/grammar/nfa_writer.h"
#include "engine/grammar/rule_plan.h"

namespace brisk {

// Puts the automata of the rules into one table.
class AutomatonBuilder {
 public:
  AutomatonBuilder(const Grammar& grammar, RulePlan plan)
      : grammar_(grammar),
        plan_(std::move(plan)),
        classes_(ByteClasses::of_grammar(grammar)),
        rules_(grammar.rule_count()) {}

  absl::StatusOr<Automaton> run() {
    BRISK_RETURN_IF_ERROR(compile_rules());
    drop_impossible_calls();
    if (budget_.is_spent()) return too_complex();
    if (rules_[0].states.empty()) {
      return invalid_input("no text satisfies the grammar: its demands exclude each other");
    }
    for (Dfa& rule : rules_) rule = minimize(rule, &budget_);
    if (budget_.is_spent()) return too_complex();
    BRISK_RETURN_IF_ERROR(check_left_recursion());
    return assemble();
  }

 private:
  static absl::Status too_complex() {
    return invalid_input(
        "the grammar is too complex to compile within the limits; use smaller counts of "
        "repetition, shorter lists, or fewer choices that begin alike");
  }

  bool is_used(size_t rule) const {
    return plan_.is_possible[rule] && (rule == 0 || plan_.is_called[rule]);
  }

  absl::Status compile_rules() {
    CompileContext context{
        .grammar = grammar_, .plan = plan_, .classes = classes_, .budget = budget_, .products = {}};
    for (size_t i = 0; i < rules_.size(); ++i) {
      const ExprId body = grammar_.body({static_cast<int32_t>(i)});
      if (!is_used(i) || body.value < 0) continue;
      rules_[i] = compile_expression(body, &context);
      if (budget_.is_spent()) return too_complex();
    }
    return absl::OkStatus();
  }

  size_t symbol_of(size_t rule) const { return static_cast<size_t>(classes_.count) + rule; }

  // A rule without any text makes calls of it impossible, which may leave others without any.
  void drop_impossible_calls() {
    std::vector<bool> is_possible(symbol_of(rules_.size()), true);
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t i = 0; i < rules_.size(); ++i) is_possible[symbol_of(i)] = has_text_[i];
      for (size_t i = 0; i < rules_.size(); ++i) {
        if (has_text_[i] || trim(rules_[i], is_possible, &budget_).states.empty()) continue;
        has_text_[i] = changed = true;
      }
    }
    for (Dfa& rule : rules_) rule = trim(rule, is_possible, &budget_);
  }

  // The states that a rule may be in before it has read anything. `nullable`: rules that may end
  // there.
  std::vector<int32_t> before_text(const Dfa& rule, const std::vector<bool>& nullable) const {
    if (rule.states.empty()) return {};
    std::vector<int32_t> found{0};
    std::vector<bool> seen(rule.states.size());
    seen[0] = true;
    for (size_t i = 0; i < found.size(); ++i) {
      for (const Dfa::Edge& edge : rule.states[static_cast<size_t>(found[i])].edges) {
        const int callee = edge.symbol - classes_.count;
        if (callee < 0 || !nullable[static_cast<size_t>(callee)]) continue;
        if (seen[static_cast<size_t>(edge.to)]) continue;
        seen[static_cast<size_t>(edge.to)] = true;
        found.push_back(edge.to);
      }
    }
    return found;
  }

  absl::Status check_left_recursion() {
    std::vector<bool> nullable(rules_.size());
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t i = 0; i < rules_.size(); ++i) {
        if (nullable[i] || !budget_.spend(1)) continue;
        for (const int32_t state : before_text(rules_[i], nullable)) {
          if (!rules_[i].states[static_cast<size_t>(state)].is_accepting) continue;
          nullable[i] = changed = true;
        }
      }
    }
    // Rules are taken away whose beginnings only call rules that were; none may be left.
    std::vector<std::vector<size_t>> callers(rules_.size());
    std::vector<size_t> calls(rules_.size());
    for (size_t i = 0; i < rules_.size(); ++i) {
      for (const int32_t state : before_text(rules_[i], nullable)) {
        for (const Dfa::Edge& edge : rules_[i].states[static_cast<size_t>(state)].edges) {
          if (edge.symbol < classes_.count) continue;
          callers[static_cast<size_t>(edge.symbol - classes_.count)].push_back(i);
          ++calls[i];
        }
      }
    }
    std::vector<size_t> done;
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (calls[i] == 0) done.push_back(i);
    }
    for (size_t i = 0; i < done.size(); ++i) {
      for (const size_t caller : callers[done[i]]) {
        if (--calls[caller] == 0) done.push_back(caller);
      }
    }
    if (done.size() == rules_.size()) return absl::OkStatus();
    return invalid_input(
        "the grammar is left-recursive: a rule, or a $ref, leads back to itself before any text; "
        "let something come before it");
  }

  absl::StatusOr<Automaton> assemble() {
    std::vector<size_t> first(rules_.size() + 1, 0);
    for (size_t i = 0; i < rules_.size(); ++i) first[i + 1] = first[i] + rules_[i].states.size();
    const size_t states = first.back();
    const auto symbols = static_cast<size_t>(classes_.count);
    if (states * symbols * sizeof(int32_t) > kAutomatonBytesMax) {
      return invalid_input(
          "the grammar is too large: it needs {} states, whose table would exceed {} MB; use "
          "smaller counts of repetition, shorter lists or fewer properties",
          states, kAutomatonBytesMax >> 20);
    }
    Automaton automaton;
    automaton.classes_ = classes_.of;
    automaton.class_count_ = symbols;
    automaton.next_.assign(states * symbols, kNoState);
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      for (const Dfa::State& state : rules_[rule].states) {
        append(rules_[rule], state, first, rule, &automaton);
      }
    }
    automaton.call_begin_.push_back(static_cast<uint32_t>(automaton.calls_.size()));
    for (size_t i = 0; i < states; ++i) note_loop(static_cast<int32_t>(i), &automaton);
    return automaton;
  }

  void append(const Dfa& rule, const Dfa::State& state, const std::vector<size_t>& first,
              size_t index, Automaton* automaton) const {
    const size_t row = automaton->flags_.size() * automaton->class_count_;
    uint8_t flags = state.is_accepting ? Automaton::kAccepts : 0;
    automaton->call_begin_.push_back(static_cast<uint32_t>(automaton->calls_.size()));
    for (const Dfa::Edge& edge : state.edges) {
      const auto to = static_cast<int32_t>(first[index]) + edge.to;
      if (edge.symbol < classes_.count) {
        flags |= Automaton::kReads;
        automaton->next_[row + static_cast<size_t>(edge.symbol)] = to;
        continue;
      }
      flags |= Automaton::kCalls;
      const auto callee = first[static_cast<size_t>(edge.symbol - classes_.count)];
      // Where nothing but the end comes after a call, the stack need not grow.
      const Dfa::State& after = rule.states[static_cast<size_t>(edge.to)];
      const bool is_last = after.is_accepting && after.edges.empty();
      automaton->calls_.push_back(
          {.callee = static_cast<int32_t>(callee), .back = is_last ? kNoState : to});
    }
    automaton->flags_.push_back(flags);
  }

  static void note_loop(int32_t state, Automaton* automaton) {
    if (!automaton->is_plain(state)) return;
    for (int byte = 0; byte < 256; ++byte) {
      const auto symbol = static_cast<uint8_t>(byte);
      if (is_plain_text_byte(symbol) && automaton->next(state, symbol) != state) return;
    }
    automaton->flags_[static_cast<size_t>(state)] |= Automaton::kLoops;
  }

  const Grammar& grammar_;
  const RulePlan plan_;
  const ByteClasses classes_;
  WorkBudget budget_{kCompileWorkMax};
  std::vector<Dfa> rules_;
  std::vector<bool> has_text_ = std::vector<bool>(grammar_.rule_count());
};

absl::StatusOr<Automaton> Automaton::compile(const Grammar& grammar) {
  if (grammar.is_too_large()) {
    return invalid_input("the grammar is too large: it may have {} rules and {} expressions",
                         kGrammarRulesMax, kGrammarExprsMax);
  }
  if (grammar.rule_count() == 0) return invalid_input("the grammar has no rules");
  return AutomatonBuilder(grammar, plan_rules(grammar)).run();
}

size_t Automaton::bytes() const {
  return next_.size() * sizeof(int32_t) + flags_.size() + call_begin_.size() * sizeof(uint32_t) +
         calls_.size() * sizeof(Call);
}

}  // namespace brisk
