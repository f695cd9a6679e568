// The second half of low-rank additions (model/lora), written once over Vec. Include after
// linear_body.h.
#pragma once

namespace brisk {
namespace {

static_assert(kLowRankColumns == 32);

// Rows [row, row + R) of the panel whose first column is `col`. kWhole: all its columns are there.
template <class W, int R, bool kWhole>
inline void low_rank_tile(const LowRankArgs& a, const char* panel, int64_t row, int64_t col) {
  const int64_t left = a.cols - col;
  const int64_t n[2] = {left < 16 ? left : 16, left < 16 ? 0 : left < 32 ? left - 16 : 16};
  const float* h[R];
  float* y[R];
  Vec acc[R][2];
  for (int r = 0; r < R; ++r) {
    h[r] = a.h + (row + r) * a.h_stride;
    y[r] = a.y + (row + r) * a.y_stride + col;
    for (int c = 0; c < 2; ++c) {
      acc[r][c] = kWhole ? load(y[r] + 16 * c) : load_first(y[r] + 16 * c, n[c]);
    }
  }
  for (int64_t j = 0; j < a.rank; ++j) {
    const Vec first = W::load(panel, 32 * j), second = W::load(panel, 32 * j + 16);
    for (int r = 0; r < R; ++r) {
      const Vec factor = splat(h[r][j]);
      acc[r][0] = fma(factor, first, acc[r][0]);
      acc[r][1] = fma(factor, second, acc[r][1]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < 2; ++c) {
      if constexpr (kWhole) {
        store(y[r] + 16 * c, acc[r][c]);
      } else {
        store_first(y[r] + 16 * c, acc[r][c], n[c]);
      }
    }
  }
}

template <class W, int R>
inline void low_rank_band(const LowRankArgs& a, int64_t row) {
  const char* panel = static_cast<const char*>(a.panels);
  int64_t col = 0;
  for (; col + 32 <= a.cols; col += 32, panel += a.panel_bytes) {
    low_rank_tile<W, R, true>(a, panel, row, col);
  }
  if (col < a.cols) low_rank_tile<W, R, false>(a, panel, row, col);
}

// The last `rows` < R rows.
template <class W, int R>
inline void last_low_rank_rows(const LowRankArgs& a, int64_t row, int64_t rows) {
  if constexpr (R > 1) {
    if (rows == R - 1) {
      low_rank_band<W, R - 1>(a, row);
    } else {
      last_low_rank_rows<W, R - 1>(a, row, rows);
    }
  }
}

template <class W>
void add_low_rank(const LowRankArgs& a) {
  int64_t row = 0;
  for (; row + kTileRows <= a.rows; row += kTileRows) low_rank_band<W, kTileRows>(a, row);
  last_low_rank_rows<W, kTileRows>(a, row, a.rows - row);
}

}  // namespace
}  // namespace brisk
