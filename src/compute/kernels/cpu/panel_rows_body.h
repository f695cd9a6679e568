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

  void advance(int starts_per_row) {  // to the next group
    codes += kGroupInputs * stride;
    scales += stride;
    sums += stride;
    starts += starts_per_row * stride;
  }
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

// The arithmetic of several rows on a group takes longer than hardware prefetchers look ahead: asks
// for as much of the stream as a group is, so far ahead. May point beyond the panels.
constexpr int kBytesAhead = 3072;
template <class P>
inline void prefetch_ahead(const char* block, int g) {
  constexpr int kBytes = P::kLayout.block_bytes() / P::kLayout.groups;
  const char* from = block + kBytesAhead + g * kBytes;
#pragma GCC unroll 16
  for (int at = 0; at < kBytes; at += 64) __builtin_prefetch(from + at);
}

// Rows that are multiplied before the next panel is read: their activations stay in the
// second-level cache.
constexpr int64_t kPassBytes = 256 << 10;
inline int64_t rows_of_pass(const QuantizedRows& x) {
  const int64_t blocks = kPassBytes / (kRowBlock * kGroupInputs * x.groups);
  return (blocks < 1 ? 1 : blocks) * kRowBlock;
}

// Calls T::run(args, row, rows, panel) for blocks of up to kRowBlock rows that lie together.
template <class P, class T>
inline void panel_product(const PanelArgs& a) {
  const int64_t pass = rows_of_pass(a.x);
  const int64_t panels = (a.cols + kPanelColumns - 1) / kPanelColumns;
  for (int64_t first = 0; first < a.x.rows; first += pass) {
    const int64_t last = first + pass < a.x.rows ? first + pass : a.x.rows;
    for (int64_t panel = 0; panel < panels; ++panel) {
      for (int64_t row = first; row < last; row += kRowBlock) {
        T::run(a, row, last - row < kRowBlock ? last - row : kRowBlock, panel);
      }
    }
  }
}

}  // namespace
}  // namespace brisk
