#include "engine/sched/wait_prediction.h"

#include <algorithm>

namespace brisk {
namespace {

// Of one prompt token, in the steps to come.
int64_t nanoseconds_per_prompt_token(const PredictionInput& input) {
  const StepCosts& costs = input.costs;
  const int64_t decoding = std::min<int64_t>(input.backlog.running, input.tokens_per_step_max - 1);
  int64_t tokens = std::max<int64_t>(input.tokens_per_step_max - decoding, 1);
  const int64_t decode_step = costs.step + costs.token * decoding;
  if (decoding > 0 && input.stretch_percent > 0) {
    const int64_t time = decode_step / 100 * (input.stretch_percent - 100);
    tokens = std::clamp<int64_t>(time / std::max<int64_t>(costs.token, 1), 1, tokens);
  }
  return decode_step / tokens + costs.token;
}

}  // namespace

int64_t predict_first_token(const PredictionInput& input) {
  if (input.costs.step + input.costs.token <= 0) return 0;
  const Backlog& backlog = input.backlog;
  const int64_t tokens = backlog.prompt_tokens + input.prompt_tokens;
  // Short of a full step there is only what there is to compute, in one step.
  const int64_t computing =
      std::max(tokens * nanoseconds_per_prompt_token(input), input.costs.step);

  const int64_t places = backlog.lacks_room ? 0 : backlog.running_max - backlog.running;
  const int64_t ends_needed = std::max<int64_t>(backlog.waiting + 1 - places, 0);
  const int64_t between_ends = backlog.sequence_nanoseconds / std::max<int64_t>(backlog.running, 1);
  return std::max(computing, ends_needed * between_ends);
}

}  // namespace brisk
