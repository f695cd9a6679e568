// Samples as a pure function of (seed, split, index).
//
// The splits are disjoint by construction: what an exercise asks, however it is phrased, is hashed,
// and the hash says which split it belongs to (90 % training, 5 % validation, 5 % test). Another
// seed never moves an exercise from one split to another. Exempt are spaces that are learnt by
// heart (products of one digit, small talk, ...): see Exercise::memorised.
#pragma once

#include <array>
#include <vector>

#include "tasks/sample.h"
#include "tasks/task_table.h"

namespace brisk::tasks {

struct Mix {
  std::vector<const Task*> tasks;                         // REQUIRES: not empty
  std::vector<int> task_weights = {};                     // (tasks); empty: their own
  std::array<int, kLevels> level_weights = {50, 35, 15};  // REQUIRES: one is positive
  Split split = Split::kTrain;
  uint64_t seed = 0;
};

// The split that an exercise belongs to.
Split split_of_key(std::string_view key);

// Any thread.
Sample generate(const Mix& mix, uint64_t index);

// `count` samples of every graded task of the mix at each of its levels, whatever their weights;
// one of each, then the next of each.
std::vector<Sample> generate_graded(const Mix& mix, uint64_t count);

}  // namespace brisk::tasks
