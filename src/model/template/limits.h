// Chat templates come from strangers' checkpoints and requests: what one of them may cost.
#pragma once

#include <cstddef>

namespace brisk {

struct TemplateLimits {
  size_t source_bytes_max = size_t{256} << 10;
  int nesting_max = 100;         // of blocks and parentheses in the source
  int depth_max = 400;           // of evaluation: blocks, expressions and macro calls together
  size_t steps_max = 5'000'000;  // nodes evaluated, and 64 bytes or 16 items touched count as one
  size_t value_bytes_max = size_t{256} << 20;  // of all values that a render makes, dead ones too
  size_t output_bytes_max = size_t{32} << 20;
};

}  // namespace brisk
