// The grids that block formats round to, apart from the rounding: which step and offset each run of
// values gets, and how its codes are stored. Rounding to nearest, searched clipping and methods
// that choose codes one by one (GPTQ) share them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/tensor/dtype.h"

namespace brisk {

// value = step * code + offset, for whole codes of [code_min, code_max]; or, of fp8, step * what
// the byte means.
struct Grid {
  float step = 0;
  float inverse = 0;  // 1 / step, or 0 where that is not finite
  float offset = 0;
  int code_min = 0;
  int code_max = 0;
  bool is_e4m3 = false;

  int nearest_code(float value) const;
  float value_of(int code) const;
};

// The values that a block's grids are chosen for.
struct GridFit {
  const float* values = nullptr;  // (block_values)
  const float* importance =
      nullptr;  // (block_values), >= 0: weighs squared errors; null: all alike
  // Not: cover the range of the values, as `encode` does. Else: the grid with the least weighted
  // error among many, some of which clip.
  bool search = false;
};

struct GridFormat {
  DType dtype;
  int block_values;  // values stored together, as format_of(dtype)
  int run_values;    // of a block that share a grid
  // Chooses the grids of a block and writes what describes them into its bytes.
  void (*fit)(const GridFit& fit, std::byte* block);
  // (block_values / run_values) grids, exactly as the block's bytes will be decoded.
  void (*grids)(const std::byte* block, Grid* grids);
  // Writes (block_values) codes, each within its grid, into the block's bytes.
  void (*store)(const int* codes, std::byte* block);
};

constexpr int kBlockValuesMax = 256;
constexpr int kBlockRunsMax = 16;

// Null for formats that have no grids (floats) or that brisk only reads.
const GridFormat* grid_format(DType dtype);

// Rounds `values` (a multiple of the format's block) to grids that cover them: what `encode` does.
void encode_covering(const GridFormat& format, const float* in, int64_t values, std::byte* blocks);

// Rounds them to the grids that suit them best. `importance`: (values) or null.
void encode_searched(const GridFormat& format, const float* in, const float* importance,
                     int64_t values, std::byte* blocks);

}  // namespace brisk
