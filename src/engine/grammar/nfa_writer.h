// Expressions written out as nondeterministic automata (Thompson's construction).
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <vector>

#include "engine/grammar/finite_automaton.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/rule_plan.h"

namespace brisk {

// What the compilation of one grammar shares.
struct CompileContext {
  const Grammar& grammar;
  const RulePlan& plan;
  const ByteClasses& classes;
  WorkBudget& budget;
  absl::flat_hash_map<int32_t, Dfa> products;  // of the expressions kBoth and kExcept
};

// The minimal automaton of an expression. Meaningless once the budget is spent.
Dfa compile_expression(ExprId expr, CompileContext* context);

}  // namespace brisk
