// Passes over a row of logits, for drawing a token from it (engine/sample). The bits are the same
// on every instruction set: products and sums are rounded one by one, never fused.
#pragma once

#include <stdint.h>

namespace brisk {

// Logits are looked at in blocks of so many; the last one of a row may be shorter.
constexpr int64_t kLogitBlock = 256;

struct LogitScan {
  float highest;   // -infinity when there is no other
  bool is_broken;  // some logit is NaN or +infinity; the rest is then meaningless
};

// weights[i] = e^((logits[i] - highest) * scale), relative error below 2^-21; exactly 1 for the
// highest. 0 where the exponent is below -87, the logit below `limit` or the weight below
// `minimum`.
struct WeighArgs {
  const float* logits;  // (count)
  int64_t count;        // at most kLogitBlock
  float highest;
  float scale;     // >= 0 and finite
  float limit;     // of logits
  float minimum;   // of weights
  float* weights;  // (count)
};

struct SplitArgs {
  const float* logits;   // (count)
  const float* weights;  // (count)
  int64_t count;
  float high;     // weights of logits from here on are summed;
  float low;      // those from here on, below `high`, are listed
  int32_t first;  // the id of logits[0]
  int32_t* ids;   // room for count + 16
};
struct Split {
  double mass;  // 16 lanes, then one after the other
  int64_t ids;  // how many, in ascending order
};

struct VocabularyKernels {
  // maxima: (blocks), the highest logit of each.
  LogitScan (*scan)(const float* logits, int64_t count, float* maxima);
  // The sum of the weights, in f64: 16 lanes, then these one after the other, then the rest of a
  // count that is no multiple of 16.
  double (*weigh)(const WeighArgs&);
  Split (*split)(const SplitArgs&);
  // The ids (from `first` on) of logits that are at least `limit`, in ascending order; how many.
  // ids: room for count + 16.
  int64_t (*collect)(const float* logits, int64_t count, float limit, int32_t first, int32_t* ids);
};

}  // namespace brisk
