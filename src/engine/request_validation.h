// The ranges of a request's parameters, checked once before it is queued.
#pragma once

#include <absl/status/status.h>

#include "engine/request.h"

namespace brisk {

inline constexpr int kLogitBiasesMax = 1024;
inline constexpr int kStopTokensMax = 1024;
inline constexpr int kAllowedTokensMax = 4096;
// Sequences of tokens; a word is up to two, with and without a space before it.
inline constexpr int kBadWordSequencesMax = 512;
inline constexpr double kLengthPenaltyMax = 10;

// Errors: InvalidArgument, naming the field as the API does and its range. Whether the prompt fits
// into the context is not asked here: that depends on the engine.
absl::Status validate(const Request& request, int vocab_size);

}  // namespace brisk
