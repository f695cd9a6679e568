// Matrix products, written once over Vec. Include after a vec_*.h.
#pragma once

namespace brisk {
namespace {

// A weight format: `load(row, k)` gives the 16 weights at positions k..k+15 of a row as f32.
struct F32Weights {
  static constexpr bool kWholeBlocks = false;
  static Vec load(const char* row, int64_t k) { return brisk::load(row + 4 * k); }
  static Vec load_first(const char* row, int64_t k, int64_t n) {
    return brisk::load_first(row + 4 * k, n);
  }
};

struct F16Weights {
  static constexpr bool kWholeBlocks = false;
  static Vec load(const char* row, int64_t k) { return load_f16(row + 2 * k); }
  static Vec load_first(const char* row, int64_t k, int64_t n) {
    char padded[32] = {};
    __builtin_memcpy(padded, row + 2 * k, static_cast<size_t>(2 * n));
    return load_f16(padded);
  }
};

struct BF16Weights {
  static constexpr bool kWholeBlocks = false;
  static Vec load(const char* row, int64_t k) { return load_bf16(row + 2 * k); }
  static Vec load_first(const char* row, int64_t k, int64_t n) {
    char padded[32] = {};
    __builtin_memcpy(padded, row + 2 * k, static_cast<size_t>(2 * n));
    return load_bf16(padded);
  }
};

// 34 bytes for 32 weights: f16 scale, 32 x int8.
struct Q8_0Weights {
  static constexpr bool kWholeBlocks = true;
  static Vec load(const char* row, int64_t k) {
    const char* block = row + k / 32 * 34;
    return load_i8(block + 2 + k % 32) * splat(f16_scalar(block));
  }
  static Vec load_first(const char* row, int64_t k, int64_t) { return load(row, k); }
};

// 18 bytes for 32 weights: f16 scale, 16 bytes; low halves are weights 0..15, high ones 16..31.
struct Q4_0Weights {
  static constexpr bool kWholeBlocks = true;
  static Vec load(const char* row, int64_t k) {
    const char* block = row + k / 32 * 18;
    const Vec q = k % 32 == 0 ? load_low_nibbles(block + 2) : load_high_nibbles(block + 2);
    return q * splat(f16_scalar(block));
  }
  static Vec load_first(const char* row, int64_t k, int64_t) { return load(row, k); }
};

template <int R, int C>
inline void finish_tile(const LinearArgs& a, int64_t row, int64_t col, const Vec (&acc)[R][C]) {
  for (int r = 0; r < R; ++r) {
    float* y = a.y + (row + r) * a.y_stride + col;
    for (int c = 0; c < C; ++c) {
      float value = sum(acc[r][c]);
      if (a.bias != nullptr) value += a.bias[col + c];
      y[c] = a.add ? y[c] + value : value;
    }
  }
}

// Rows [row, row + R) times weight rows [col, col + C): every accumulator is one Vec whose lane l
// sums positions l, l + 16, ... in order, so R and C never change a result.
template <class W, int R, int C>
inline void tile(const LinearArgs& a, int64_t row, int64_t col) {
  const float* x[R];
  for (int r = 0; r < R; ++r) x[r] = a.x + (row + r) * a.x_stride;
  const char* w[C];
  for (int c = 0; c < C; ++c) w[c] = static_cast<const char*>(a.w) + (col + c) * a.w_row_bytes;
  Vec acc[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) acc[r][c] = zero();
  }
  const auto step = [&](int64_t k) __attribute__((always_inline)) {
    Vec weights[C];
    for (int c = 0; c < C; ++c) weights[c] = W::load(w[c], k);
    for (int r = 0; r < R; ++r) {
      const Vec input = load(x[r] + k);
      for (int c = 0; c < C; ++c) acc[r][c] = fma(input, weights[c], acc[r][c]);
    }
  };
  int64_t k = 0;
  for (; k + 32 <= a.depth; k += 32) {
    step(k);
    step(k + 16);
  }
  if constexpr (!W::kWholeBlocks) {
    for (; k < a.depth; k += 16) {
      const int64_t n = a.depth - k < 16 ? a.depth - k : 16;
      for (int c = 0; c < C; ++c) {
        const Vec weights = W::load_first(w[c], k, n);
        for (int r = 0; r < R; ++r) {
          acc[r][c] = fma(load_first(x[r] + k, n), weights, acc[r][c]);
        }
      }
    }
  }
  finish_tile<R, C>(a, row, col, acc);
}

// All weight rows for the R input rows from `row`.
template <class W, int R, int C>
inline void row_band(const LinearArgs& a, int64_t row) {
  int64_t col = 0;
  for (; col + C <= a.cols; col += C) tile<W, R, C>(a, row, col);
  for (; col < a.cols; ++col) tile<W, R, 1>(a, row, col);
}

// The last `rows` < R rows.
template <class W, int R, int C>
inline void last_rows(const LinearArgs& a, int64_t row, int64_t rows) {
  if constexpr (R > 1) {
    if (rows == R - 1) {
      row_band<W, R - 1, C>(a, row);
    } else {
      last_rows<W, R - 1, C>(a, row, rows);
    }
  }
}

template <class W, int R, int C>
void linear(const LinearArgs& a) {
  int64_t row = 0;
  for (; row + R <= a.rows; row += R) row_band<W, R, C>(a, row);
  last_rows<W, R, C>(a, row, a.rows - row);
}

// Few rows leave the time to memory, which reads one weight row after the other twice as fast as
// several side by side: hardware prefetchers follow one stream from page to page. Inputs that leave
// the first-level cache would be read again for each of them; then they serve several.
template <class W>
void linear_streamed(const LinearArgs& a) {
  constexpr int64_t kInputBytesMax = 16 << 10;
  if (a.rows * a.depth * 4 <= kInputBytesMax) {
    linear<W, kDirectRows, 1>(a);
  } else {
    linear<W, kDirectRows, kTileCols>(a);
  }
}

template <class W>
void decode(const void* blocks, int64_t values, float* out) {
  const char* row = static_cast<const char*>(blocks);
  int64_t k = 0;
  for (; k + 16 <= values; k += 16) store(out + k, W::load(row, k));
  if (k < values) store_first(out + k, W::load_first(row, k, values - k), values - k);
}

}  // namespace
}  // namespace brisk
