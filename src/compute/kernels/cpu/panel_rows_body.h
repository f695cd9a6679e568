// How the integer kernels walk their operands; shared by the instruction sets. Include after
// panels.h.
#pragma once

namespace brisk {
namespace {

// Up to kRowBlock rows that lie together, from one of them on.
struct RowRun {
  const int8_t* codes;
  const float* scales;
  const float* sums;
  const int32_t* starts;  // of the format's offset
  int64_t stride;         // rows of the block: from a group to the next
};

template <class P>
inline const int32_t* starts_of(const QuantizedRows& x) {
  return P::kOffset == 8 ? x.start_8 : P::kOffset == 32 ? x.start_32 : x.start_128;
}

template <class P>
inline RowRun rows_from(const QuantizedRows& x, int64_t row) {
  const int64_t base = row / kRowBlock * kRowBlock;
  const int64_t stride = x.rows - base < kRowBlock ? x.rows - base : kRowBlock;
  const int64_t at = base * x.groups + (row - base);
  return {.codes = x.codes + kGroupInputs * at,
          .scales = x.scales + at,
          .sums = x.sums + at,
          .starts = starts_of<P>(x) + at * P::kStarts,
          .stride = stride};
}

// Rows that are multiplied before the next panel is read: their activations stay in the
// second-level cache.
constexpr int64_t kPassBytes = 256 << 10;
inline int64_t rows_of_pass(const QuantizedRows& x) {
  const int64_t blocks = kPassBytes / (kRowBlock * kGroupInputs * x.groups);
  return (blocks < 1 ? 1 : blocks) * kRowBlock;
}

// Calls Tile<P, R>::run(args, row, panel) for runs of R rows that never cross a block, R among the
// instruction set's sizes: kSizes, largest first, ending with 1.
template <class P, template <class, int> class Tile, int R, int... Smaller>
inline void tile_rows(const PanelArgs& a, int64_t row, int64_t end, int64_t panel) {
  for (; end - row >= R; row += R) Tile<P, R>::run(a, row, panel);
  if constexpr (sizeof...(Smaller) > 0) tile_rows<P, Tile, Smaller...>(a, row, end, panel);
}

template <class P, template <class, int> class Tile, int... Sizes>
inline void panel_product(const PanelArgs& a) {
  const int64_t pass = rows_of_pass(a.x);
  const int64_t panels = (a.cols + kPanelColumns - 1) / kPanelColumns;
  for (int64_t first = 0; first < a.x.rows; first += pass) {
    const int64_t last = first + pass < a.x.rows ? first + pass : a.x.rows;
    for (int64_t panel = 0; panel < panels; ++panel) {
      for (int64_t row = first; row < last; row += kRowBlock) {
        const int64_t end = row + kRowBlock < last ? row + kRowBlock : last;
        tile_rows<P, Tile, Sizes...>(a, row, end, panel);
      }
    }
  }
}

}  // namespace
}  // namespace brisk
