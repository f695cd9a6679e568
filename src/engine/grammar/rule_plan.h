// Which rules are written out where they are referred to, and which are called.
#pragma once

#include <vector>

#include "engine/grammar/grammar.h"

namespace brisk {

struct RulePlan {
  std::vector<bool> is_called;    // (rules)
  std::vector<bool> is_possible;  // (rules) the root is it or refers to it
};

RulePlan plan_rules(const Grammar& grammar);

}  // namespace brisk
