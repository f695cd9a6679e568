// What one row of logits says about the token that came, and how far two rows are apart.
#pragma once

#include <cstdint>
#include <span>

namespace brisk {

struct TokenScore {
  double nats = 0;  // -ln softmax(logits)[token]
  // Against a reference.
  double reference_nats = 0;
  double kl = 0;         // KL(softmax(reference) || softmax(logits)), nats
  bool flipped = false;  // another token is the most likely one
};

// In f64. REQUIRES: 0 <= token < logits.size().
TokenScore score_token(std::span<const float> logits, int32_t token);

// REQUIRES: equally many logits.
TokenScore score_token(std::span<const float> logits, std::span<const float> reference,
                       int32_t token);

}  // namespace brisk
