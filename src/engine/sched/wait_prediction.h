// When a request that arrives now would get its first token.
#pragma once

#include <cstdint>

#include "engine/sched/scheduler.h"

namespace brisk {

struct Backlog {
  int64_t prompt_tokens = 0;  // of waiting and running sequences, yet to be computed
  int64_t waiting = 0;        // sequences
  int64_t running = 0;        // sequences
  int64_t running_max = 0;
  bool lacks_room = false;           // the first that waits found none
  int64_t sequence_nanoseconds = 0;  // from admission to end, lately; 0: not known
};

struct PredictionInput {
  Backlog backlog;
  StepCosts costs;
  int32_t tokens_per_step_max = 0;
  int32_t stretch_percent = 0;
  int64_t prompt_tokens = 0;
};

// Nanoseconds; 0 while the costs are not known. The prompts ahead are computed first, at the rate
// that the budget and the stretch leave them; where all places are taken, one has to end for each
// that waits ahead.
int64_t predict_first_token(const PredictionInput& input);

}  // namespace brisk
