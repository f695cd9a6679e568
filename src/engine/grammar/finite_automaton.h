// Deterministic automata over classes of bytes and calls of rules: how the regular parts of a
// grammar are put together. A call is a symbol like any other here; what it stands for is the
// business of the pushdown automaton (automaton.h).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/grammar/grammar.h"

namespace brisk {

// The work of a compilation, in steps of its loops; when it is spent everything returns at once
// with whatever is there.
class WorkBudget {
 public:
  explicit WorkBudget(int64_t steps) : left_(steps) {}
  bool spend(size_t steps) { return (left_ -= static_cast<int64_t>(steps)) >= 0; }
  bool is_spent() const { return left_ < 0; }
  void exhaust() { left_ = -1; }

 private:
  int64_t left_;
};

// Bytes that no expression of a grammar tells apart.
struct ByteClasses {
  std::array<uint8_t, 256> of{};  // byte -> its class
  int count = 1;

  static ByteClasses of_grammar(const Grammar& grammar);
};

// States 0 (the start), 1, ...; without states it accepts nothing.
struct Dfa {
  struct Edge {
    int32_t symbol = 0;  // a class, or the number of classes + a rule
    int32_t to = 0;
  };
  struct State {
    std::vector<Edge> edges{};  // by symbol, at most one each
    bool is_accepting = false;
  };
  std::vector<State> states;
};

// A nondeterministic automaton, of states that do one thing each.
struct Nfa {
  enum class Kind : uint8_t { kSplit, kBytes, kCall, kAccept };
  struct State {
    Kind kind = Kind::kSplit;
    int32_t what = -1;  // kBytes: of `sets`; kCall: the rule; kSplit: another next state, or -1
    int32_t next = -1;  // -1: none
  };
  std::vector<State> states;
  std::vector<std::vector<uint8_t>> sets;  // of classes
  int32_t start = -1;
};

// The subset construction. States that lead nowhere may be among the result's.
Dfa determinize(const Nfa& nfa, const ByteClasses& classes, WorkBudget* budget);

// Texts of `a` that `b` accepts, or does not. REQUIRES: neither calls.
Dfa intersection(const Dfa& a, const Dfa& b, WorkBudget* budget);
Dfa difference(const Dfa& a, const Dfa& b, WorkBudget* budget);

// Drops edges with symbols that `is_possible` denies, and states from which no text ends.
Dfa trim(const Dfa& dfa, const std::vector<bool>& is_possible, WorkBudget* budget);

// The smallest automaton for the same texts (Hopcroft 1971). REQUIRES: trimmed.
Dfa minimize(const Dfa& dfa, WorkBudget* budget);

}  // namespace brisk
