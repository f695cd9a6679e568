// Integer products with AVX-512 VNNI: one 512-bit register is four inputs of 16 columns.
#include <immintrin.h>

#include "compute/kernels/cpu/panels.h"
// clang-format off
#include "compute/kernels/cpu/panel_rows_body.h"
// clang-format on

namespace brisk {
namespace {

inline __m512i load_512(const char* p) { return _mm512_loadu_si512(p); }
inline __m512 f16_16(const char* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline __m512 u8_16(const char* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline __m512 i8_16(const char* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// 256 bytes: the low halves are w[0..3], the high halves w[4..7].
inline void nibbles(const char* p, __m512i (&w)[8]) {
  const __m512i low = _mm512_set1_epi8(15);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512i both = load_512(p + 64 * j);
    w[j] = _mm512_and_si512(both, low);
    w[j + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
}

template <PanelFormat F>
struct Format {
  static constexpr PanelLayout kLayout = kPanelLayouts[static_cast<int>(F)];
  static constexpr int kOffset = kLayout.offset;
  static constexpr int kStarts = 1;
  static constexpr bool kMinimum = false;
  static const char* group(const char* block, int g) {
    return block + kLayout.header_bytes + g * kLayout.group_bytes;
  }
};

struct Q4_0 : Format<PanelFormat::kQ4_0> {
  static void scales(const char* block, int g, __m512 (&s)[2], __m512*) {
    s[0] = f16_16(block + 32 * g);
  }
  static void codes(const char* block, int g, __m512i (&w)[8]) { nibbles(group(block, g), w); }
};

struct Q8_0 : Format<PanelFormat::kQ8_0> {
  static void scales(const char* block, int g, __m512 (&s)[2], __m512*) {
    s[0] = f16_16(block + 32 * g);
  }
  static void codes(const char* block, int g, __m512i (&w)[8]) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) w[j] = load_512(group(block, g) + 64 * j);
  }
};

template <PanelFormat F>
struct KWithMinimum : Format<F> {
  static constexpr bool kMinimum = true;
  static void scales(const char* block, int g, __m512 (&s)[2], __m512* minimum) {
    s[0] = _mm512_mul_ps(f16_16(block), u8_16(block + 64 + 16 * g));
    const __m512 positive = _mm512_mul_ps(f16_16(block + 32), u8_16(block + 192 + 16 * g));
    *minimum = _mm512_sub_ps(_mm512_setzero_ps(), positive);
  }
};

struct Q4_K : KWithMinimum<PanelFormat::kQ4_K> {
  static void codes(const char* block, int g, __m512i (&w)[8]) { nibbles(group(block, g), w); }
};

struct Q5_K : KWithMinimum<PanelFormat::kQ5_K> {
  static void codes(const char* block, int g, __m512i (&w)[8]) {
    const char* p = group(block, g);
    nibbles(p, w);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      uint64_t fifth;
      __builtin_memcpy(&fifth, p + 256 + 8 * j, 8);
      w[j] = _mm512_mask_add_epi8(w[j], fifth, w[j], _mm512_set1_epi8(16));
    }
  }
};

struct Q6_K : Format<PanelFormat::kQ6_K> {
  static constexpr int kStarts = 2;
  static void scales(const char* block, int g, __m512 (&s)[2], __m512*) {
    const __m512 scale = f16_16(block);
    s[0] = _mm512_mul_ps(scale, i8_16(block + 32 + 32 * g));
    s[1] = _mm512_mul_ps(scale, i8_16(block + 48 + 32 * g));
  }
  static void codes(const char* block, int g, __m512i (&w)[8]) {
    const char* p = group(block, g);
    nibbles(p, w);
    const __m512i mask = _mm512_set1_epi8(0x30);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m512i high = load_512(p + 256 + 64 * h);
      const __m512i placed[4] = {_mm512_slli_epi16(high, 4), _mm512_slli_epi16(high, 2), high,
                                 _mm512_srli_epi16(high, 2)};
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {  // w | (placed & mask)
        w[4 * h + j] = _mm512_ternarylogic_epi32(w[4 * h + j], placed[j], mask, 0xF8);
      }
    }
  }
};

struct Scaled8 : Format<PanelFormat::kScaled8> {
  static constexpr bool kMinimum = true;
  static void scales(const char* block, int, __m512 (&s)[2], __m512* minimum) {
    s[0] = _mm512_loadu_ps(block);
    *minimum = _mm512_loadu_ps(block + 64);
  }
  static void codes(const char* block, int g, __m512i (&w)[8]) { Q8_0::codes(block + 64, g, w); }
};

template <PanelFormat F>
struct WithZeros : Format<F> {
  static constexpr bool kMinimum = true;
  static void scales(const char* block, int g, __m512 (&s)[2], __m512* minimum) {
    const char* zeros = block;
    if constexpr (F == PanelFormat::kInt4) {
      s[0] = f16_16(block + 32 * g);
      zeros += 64 + 16 * g;
    } else {
      s[0] = _mm512_loadu_ps(block + 64 * g);
      zeros += 128 + 16 * g;
    }
    *minimum = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(s[0], u8_16(zeros)));
  }
  static void codes(const char* block, int g, __m512i (&w)[8]) {
    nibbles(Format<F>::group(block, g), w);
  }
};
using Int4 = WithZeros<PanelFormat::kInt4>;
using Int4Wide = WithZeros<PanelFormat::kInt4Wide>;

inline __m512i four_inputs(const int8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, 4);
  return _mm512_set1_epi32(four);
}

// Rows whose sums are made side by side: their chains of vpdpbusd hide each other's latency.
constexpr int kRowsTogether = 4;

// R rows from `r` on: acc += the group's weights times their activations.
template <class P, int R>
inline void add_rows(const RowRun& x, int64_t r, const __m512i (&w)[8], const __m512 (&scale)[2],
                     __m512 minimum, float (*acc)[kPanelColumns]) {
  __m512i sums[R][P::kStarts];
  const int8_t* codes = x.codes + kGroupInputs * r;
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
    for (int h = 0; h < P::kStarts; ++h) {
      sums[i][h] = P::kOffset == 0 ? _mm512_setzero_si512()
                                   : _mm512_set1_epi32(x.starts[P::kStarts * (r + i) + h]);
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) {
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      __m512i& sum = sums[i][j * P::kStarts / 8];
      sum = _mm512_dpbusd_epi32(sum, w[j], four_inputs(codes + kGroupInputs * i + 4 * j));
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
    __m512 y = _mm512_load_ps(acc[r + i]);
    const __m512 x_scale = _mm512_set1_ps(x.scales[r + i]);
#pragma GCC unroll 2
    for (int h = 0; h < P::kStarts; ++h) {
      y = _mm512_fmadd_ps(_mm512_mul_ps(scale[h], x_scale), _mm512_cvtepi32_ps(sums[i][h]), y);
    }
    if constexpr (P::kMinimum) y = _mm512_fmadd_ps(minimum, _mm512_set1_ps(x.sums[r + i]), y);
    _mm512_store_ps(acc[r + i], y);
  }
}

// One group for all rows: its weights stay in registers, the sums in the first-level cache.
template <class P>
inline void add_group(const RowRun& x, int64_t rows, const char* block, int g,
                      float (*acc)[kPanelColumns]) {
  __m512i w[8];
  __m512 scale[2], minimum = _mm512_setzero_ps();
  P::scales(block, g, scale, &minimum);
  P::codes(block, g, w);
  int64_t r = 0;
  for (; r + kRowsTogether <= rows; r += kRowsTogether) {
    add_rows<P, kRowsTogether>(x, r, w, scale, minimum, acc);
  }
  for (; r + 2 <= rows; r += 2) add_rows<P, 2>(x, r, w, scale, minimum, acc);
  for (; r < rows; ++r) add_rows<P, 1>(x, r, w, scale, minimum, acc);
}

void finish(const PanelArgs& a, int64_t row, int64_t rows, int64_t col,
            const float (*acc)[kPanelColumns]) {
  const int64_t left = a.cols - col;
  const __mmask16 mask = left < kPanelColumns ? static_cast<__mmask16>((1u << left) - 1)
                                              : static_cast<__mmask16>(0xFFFF);
  for (int64_t r = 0; r < rows; ++r) {
    float* y = a.y + (row + r) * a.y_stride + col;
    __m512 value = _mm512_load_ps(acc[r]);
    if (a.bias != nullptr) {
      value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, a.bias + col));
    }
    if (a.add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
    _mm512_mask_storeu_ps(y, mask, value);
  }
}

// A whole block of rows against a panel.
template <class P>
struct Tile {
  static void run(const PanelArgs& a, int64_t row, int64_t rows, int64_t panel) {
    RowRun x = rows_from<P>(a.x, row);
    const char* block = static_cast<const char*>(a.panels) + panel * a.panel_bytes;
    const char* const end = block + a.panel_bytes;
    alignas(64) float acc[kRowBlock][kPanelColumns] = {};
    for (; block < end; block += P::kLayout.block_bytes()) {
      for (int g = 0; g < P::kLayout.groups; ++g) {
        if (rows > 1) prefetch_ahead<P>(block, g);
        add_group<P>(x, rows, block, g, acc);
        x.advance(P::kStarts);
      }
    }
    finish(a, row, rows, panel * kPanelColumns, acc);
  }
};

template <class P>
void linear(const PanelArgs& a) {
  panel_product<P, Tile<P>>(a);
}

int32_t integer_peak(int64_t iterations) {
  __m512i chains[8];
  for (int i = 0; i < 8; ++i) chains[i] = _mm512_set1_epi32(i);
  const __m512i ones = _mm512_set1_epi8(1);
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) chains[i] = _mm512_dpbusd_epi32(chains[i], ones, chains[i]);
  }
  for (int i = 1; i < 8; ++i) chains[0] = _mm512_add_epi32(chains[0], chains[i]);
  return _mm512_reduce_add_epi32(chains[0]);
}

}  // namespace

constexpr PanelKernels kPanelKernelsAvx512 = {
    .linear = {linear<Q4_0>, linear<Q8_0>, linear<Q4_K>, linear<Q5_K>, linear<Q6_K>,
               linear<Scaled8>, linear<Int4>, linear<Int4Wide>},
    .int8_peak = {integer_peak, 8 * 64},
    .int4_peak = {integer_peak, 8 * 64},
};

}  // namespace brisk
