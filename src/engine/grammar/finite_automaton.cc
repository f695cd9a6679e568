#include "engine/grammar/finite_automaton.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <map>
#include <utility>

namespace brisk {
namespace {

// Sets of states of an automaton become states of another.
class SubsetConstruction {
 public:
  SubsetConstruction(const Nfa& nfa, const ByteClasses& classes, WorkBudget* budget)
      : nfa_(nfa), classes_(classes), budget_(*budget), seen_(nfa.states.size(), 0) {}

  Dfa run() {
    state_of({nfa_.start});
    for (size_t i = 0; i < subsets_.size() && !budget_.is_spent(); ++i) expand(i);
    return std::move(dfa_);
  }

 private:
  // The states that do something and are reached from `from` without input, sorted.
  std::vector<int32_t> closure(const std::vector<int32_t>& from) {
    ++stamp_;
    std::vector<int32_t> todo = from;
    std::vector<int32_t> found;
    while (!todo.empty()) {
      const int32_t at = todo.back();
      todo.pop_back();
      if (at < 0 || seen_[static_cast<size_t>(at)] == stamp_) continue;
      seen_[static_cast<size_t>(at)] = stamp_;
      if (!budget_.spend(1)) return {};
      const Nfa::State& state = nfa_.states[static_cast<size_t>(at)];
      if (state.kind == Nfa::Kind::kSplit) {
        todo.push_back(state.what);
        todo.push_back(state.next);
      } else {
        found.push_back(at);
      }
    }
    std::ranges::sort(found);
    return found;
  }

  int32_t state_of(const std::vector<int32_t>& from) {
    const auto next = static_cast<int32_t>(subsets_.size());
    std::vector<int32_t> subset = closure(from);
    budget_.spend(subset.size() + 16);
    const auto [place, is_new] = index_.try_emplace(std::move(subset), next);
    if (is_new) {
      subsets_.push_back(place->first);
      dfa_.states.emplace_back();
    }
    return place->second;
  }

  void expand(size_t at) {
    const std::vector<int32_t> subset = std::move(subsets_[at]);  // looked at but once
    std::map<int32_t, std::vector<int32_t>> targets;              // by symbol
    bool is_accepting = false;
    for (const int32_t member : subset) {
      const Nfa::State& state = nfa_.states[static_cast<size_t>(member)];
      if (state.kind == Nfa::Kind::kAccept) is_accepting = true;
      if (state.kind == Nfa::Kind::kCall) {
        targets[classes_.count + state.what].push_back(state.next);
      }
      if (state.kind != Nfa::Kind::kBytes) continue;
      const auto& set = nfa_.sets[static_cast<size_t>(state.what)];
      for (const uint8_t symbol : set) targets[symbol].push_back(state.next);
      if (!budget_.spend(set.size())) return;
    }
    std::vector<Dfa::Edge> edges;
    // Most often many symbols lead to the same states.
    const std::vector<int32_t>* last = nullptr;
    for (auto& [symbol, states] : targets) {
      std::ranges::sort(states);
      const bool is_same = last != nullptr && *last == states;
      edges.push_back({.symbol = symbol, .to = is_same ? edges.back().to : state_of(states)});
      last = &states;
    }
    dfa_.states[at] = {.edges = std::move(edges), .is_accepting = is_accepting};
  }

  const Nfa& nfa_;
  const ByteClasses& classes_;
  WorkBudget& budget_;
  std::vector<int32_t> seen_;  // (NFA states) the last stamp each was met with
  int32_t stamp_ = 0;
  absl::flat_hash_map<std::vector<int32_t>, int32_t> index_;
  std::vector<std::vector<int32_t>> subsets_;
  Dfa dfa_;
};

int32_t step(const Dfa& dfa, int32_t state, int32_t symbol) {
  if (state < 0) return -1;
  const auto& edges = dfa.states[static_cast<size_t>(state)].edges;
  const auto edge = std::ranges::lower_bound(edges, symbol, {}, &Dfa::Edge::symbol);
  return edge == edges.end() || edge->symbol != symbol ? -1 : edge->to;
}

// Pairs of states; `wants_second` says whether the second has to accept or must not.
Dfa product(const Dfa& a, const Dfa& b, bool wants_second, WorkBudget* budget) {
  Dfa result;
  if (a.states.empty()) return result;
  absl::flat_hash_map<std::pair<int32_t, int32_t>, int32_t> index;
  std::vector<std::pair<int32_t, int32_t>> pairs;
  const auto state_of = [&](std::pair<int32_t, int32_t> pair) {
    const auto [place, is_new] = index.try_emplace(pair, static_cast<int32_t>(pairs.size()));
    if (is_new) pairs.push_back(pair);
    return place->second;
  };
  state_of({0, b.states.empty() ? -1 : 0});
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [first, second] = pairs[i];
    const Dfa::State& from = a.states[static_cast<size_t>(first)];
    if (!budget->spend(from.edges.size() + 8)) return result;
    const bool second_accepts = second >= 0 && b.states[static_cast<size_t>(second)].is_accepting;
    Dfa::State state{.is_accepting = from.is_accepting && second_accepts == wants_second};
    for (const Dfa::Edge& edge : from.edges) {
      const int32_t other = step(b, second, edge.symbol);
      if (other < 0 && wants_second) continue;
      state.edges.push_back({.symbol = edge.symbol, .to = state_of({edge.to, other})});
    }
    result.states.push_back(std::move(state));
  }
  return result;
}

}  // namespace

ByteClasses ByteClasses::of_grammar(const Grammar& grammar) {
  ByteClasses classes;
  const auto tell_apart = [&](const ByteSet& set) {
    if (classes.count == 256) return;
    std::map<std::pair<uint8_t, bool>, uint8_t> renamed;
    for (size_t byte = 0; byte < 256; ++byte) {
      const auto next = static_cast<uint8_t>(renamed.size());
      classes.of[byte] = renamed.try_emplace({classes.of[byte], set[byte]}, next).first->second;
    }
    classes.count = static_cast<int>(renamed.size());
  };
  ByteSet in_literals;
  std::vector<ByteSet> sets;
  for (size_t i = 0; i < grammar.expr_count(); ++i) {
    const Expr& expr = grammar.expr({static_cast<int32_t>(i)});
    if (expr.kind == Expr::Kind::kBytes) sets.push_back(expr.set);
    for (const char c : expr.text) in_literals.set(static_cast<uint8_t>(c));
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (in_literals[byte]) tell_apart(ByteSet().set(byte));
  }
  const auto less = [](const ByteSet& a, const ByteSet& b) {
    for (size_t byte = 0; byte < 256; ++byte) {
      if (a[byte] != b[byte]) return b[byte];
    }
    return false;
  };
  std::ranges::sort(sets, less);
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  for (const ByteSet& set : sets) tell_apart(set);
  return classes;
}

Dfa determinize(const Nfa& nfa, const ByteClasses& classes, WorkBudget* budget) {
  if (budget->is_spent()) return {};
  return SubsetConstruction(nfa, classes, budget).run();
}

Dfa intersection(const Dfa& a, const Dfa& b, WorkBudget* budget) {
  return product(a, b, true, budget);
}

Dfa difference(const Dfa& a, const Dfa& b, WorkBudget* budget) {
  return product(a, b, false, budget);
}

Dfa trim(const Dfa& dfa, const std::vector<bool>& is_possible, WorkBudget* budget) {
  if (budget->is_spent()) return {};
  const size_t count = dfa.states.size();
  std::vector<std::vector<int32_t>> from(count);
  std::vector<int32_t> todo;
  std::vector<bool> lives(count);
  for (size_t i = 0; i < count; ++i) {
    for (const Dfa::Edge& edge : dfa.states[i].edges) {
      if (!is_possible[static_cast<size_t>(edge.symbol)]) continue;
      from[static_cast<size_t>(edge.to)].push_back(static_cast<int32_t>(i));
    }
    if (!dfa.states[i].is_accepting) continue;
    lives[i] = true;
    todo.push_back(static_cast<int32_t>(i));
  }
  while (!todo.empty()) {
    const int32_t at = todo.back();
    todo.pop_back();
    for (const int32_t before : from[static_cast<size_t>(at)]) {
      if (lives[static_cast<size_t>(before)]) continue;
      lives[static_cast<size_t>(before)] = true;
      todo.push_back(before);
    }
  }
  if (count == 0 || !lives[0]) return {};

  std::vector<int32_t> renamed(count, -1);
  std::vector<size_t> order{0};  // only what the start reaches
  renamed[0] = 0;
  Dfa result;
  for (size_t i = 0; i < order.size(); ++i) {
    Dfa::State state{.is_accepting = dfa.states[order[i]].is_accepting};
    for (const Dfa::Edge& edge : dfa.states[order[i]].edges) {
      const auto to = static_cast<size_t>(edge.to);
      if (!is_possible[static_cast<size_t>(edge.symbol)] || !lives[to]) continue;
      if (renamed[to] < 0) {
        renamed[to] = static_cast<int32_t>(order.size());
        order.push_back(to);
      }
      state.edges.push_back({.symbol = edge.symbol, .to = renamed[to]});
    }
    if (!budget->spend(state.edges.size() + 1)) return result;
    result.states.push_back(std::move(state));
  }
  return result;
}

}  // namespace brisk
