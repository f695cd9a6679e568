// Searches for the grid of a run of values with the least squared error: candidates that clip more
// and more of the range, each refitted by least squares to the codes it leads to.
#pragma once

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

}  // namespace brisk::quant
