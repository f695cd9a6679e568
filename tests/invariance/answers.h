// What requests got, to the bit.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <vector>

#include "engine/engine.h"

namespace brisk {

// One choice's answer: tokens and the bits of every reported log-probability.
struct Answer {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::optional<FinishReason> finish;
  bool operator==(const Answer&) const = default;
};
using Answers = std::vector<Answer>;  // of one request, by choice

inline void PrintTo(const Answer& answer, std::ostream* out) {
  *out << answer.tokens.size() << " tokens:";
  for (size_t i = 0; i < answer.tokens.size(); ++i) {
    *out << ' ' << answer.tokens[i] << '(' << answer.logprobs[i] << ')';
  }
}

inline Answers collect(Generation& generation, int choices) {
  Answers answers(static_cast<size_t>(choices));
  while (!generation.done()) {
    for (const TokenEvent& event : generation.wait_and_take()) {
      Answer& answer = answers[static_cast<size_t>(event.choice)];
      if (event.token >= 0) answer.tokens.push_back(event.token);
      if (event.token >= 0) answer.logprobs.push_back(event.logprob);
      for (const TokenLogprob& top : event.top) answer.logprobs.push_back(top.logprob);
      if (event.finish) answer.finish = event.finish;
    }
  }
  return answers;
}

}  // namespace brisk
