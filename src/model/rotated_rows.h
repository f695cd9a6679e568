// The two orders that the rows of q and k have in checkpoints: rotated pairs half a head apart
// (Hugging Face), or side by side (llama in GGUF, llama2.c).
#pragma once

#include <cstdint>

namespace brisk {

// The row of the other order that holds what belongs to row `row` of this one; heads keep their
// places. `to_interleaved`: pairs lie side by side in this one.
inline int64_t rotated_row(int64_t row, int64_t head_dim, bool to_interleaved) {
  const int64_t half = head_dim / 2;
  const int64_t head = row / head_dim, within = row % head_dim;
  const int64_t source =
      to_interleaved ? within % 2 * half + within / 2 : within % half * 2 + within / half;
  return head * head_dim + source;
}

}  // namespace brisk
