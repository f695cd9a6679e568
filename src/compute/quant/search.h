// Searches for the grid of a run of values with the least squared error: candidates that clip more
// and more of the range, each refitted by least squares to the codes it leads to.
#pragma once

#include <optional>
#include <span>

namespace brisk::quant {

// values ~ step * code - offset.
struct AffineFit {
  float step = 0;
  float offset = 0;
};

// The step with the least error of values ~ step * code, code in [code_min, code_max]; negative
// where the extreme value is better served by code_min. `importance`: (count) or null.
// REQUIRES: code_min < 0 < code_max, count <= 32.
float search_symmetric(const float* in, const float* importance, int count, int code_min,
                       int code_max);

// With code in [0, code_max]. `offset_min`: 0 where the format cannot store negative offsets.
AffineFit search_affine(const float* in, const float* importance, int count, int code_max,
                        float offset_min);

// values ~ scale * (code - zero), code and zero in [0, code_max], scale > 0: what integer zero
// points can do. `fixed_zero`: the only one. Of zeros the scale is 0.
struct ZeroPointFit {
  float scale = 0;
  int zero = 0;
};
ZeroPointFit search_zero_point(std::span<const float> values, const float* importance, int code_max,
                               std::optional<int> fixed_zero);

}  // namespace brisk::quant
