// Weights rounded as the engine's formats round them, in f32: what quantisation-aware training
// computes with, while gradients move the exact ones (Bengio et al. 2013, straight-through).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace brisk::train {

// Rounds whole rows of `width` values; thread-safe. Empty: weights stay as they are.
using Rounding = std::function<void(const float* rows, int64_t count, int64_t width, float* out)>;

// Which range of a block's values its codes cover: as far as its largest value reaches, or the part
// of that (0.7 to 1, the rest is clipped) with the least squared error.
enum class Clipping { kNone, kSearch };

// A format that weights can be trained for.
struct QuantFormat {
  Rounding rounding;
  std::string stored_as;  // the engine's format that holds it exactly
};

// `name`: a format that brisk encodes (q8_0, q4_0, ...: by the very encoder of `brisk convert`), or
// "ternary": -1, 0 or 1 times a scale for every 32 weights, their mean magnitude (after Ma et al.
// 2024, arXiv 2402.17764, who have one a matrix), stored as q8_0.
// A clipped block is one that the format's encoder maps to itself: the file stays exact.
// Errors: InvalidArgument with the names there are.
absl::StatusOr<QuantFormat> quant_format(std::string_view name,
                                         Clipping clipping = Clipping::kSearch);

}  // namespace brisk::train
