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
  static constexpr bool kHalves = false;
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
  static constexpr bool kHalves = true;
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

inline __m512i four_inputs(const int8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, 4);
  return _mm512_set1_epi32(four);
}

// sum += the products of inputs 4 j .. 4 j + 3 for j in [J, J + N).
template <int J, int N>
inline __m512i dot(__m512i sum, const __m512i (&w)[8], const int8_t* codes) {
#pragma GCC unroll 8
  for (int j = J; j < J + N; ++j) sum = _mm512_dpbusd_epi32(sum, w[j], four_inputs(codes + 4 * j));
  return sum;
}

template <class P, int R>
inline void add_group(const RowRun& x, const __m512i (&w)[8], const __m512 (&scale)[2],
                      __m512 minimum, __m512 (&acc)[R]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const int8_t* codes = x.codes + kGroupInputs * r;
    const __m512 x_scale = _mm512_set1_ps(x.scales[r]);
    if constexpr (P::kHalves) {
      const __m512i low = dot<0, 4>(_mm512_set1_epi32(x.starts[2 * r]), w, codes);
      const __m512i high = dot<4, 4>(_mm512_set1_epi32(x.starts[2 * r + 1]), w, codes);
      acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(scale[0], x_scale), _mm512_cvtepi32_ps(low), acc[r]);
      acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(scale[1], x_scale), _mm512_cvtepi32_ps(high), acc[r]);
    } else {
      const __m512i start =
          P::kOffset == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(x.starts[r]);
      const __m512i sum = dot<0, 8>(start, w, codes);
      acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(scale[0], x_scale), _mm512_cvtepi32_ps(sum), acc[r]);
      if constexpr (P::kMinimum) {
        acc[r] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(x.sums[r]), acc[r]);
      }
    }
  }
}

template <class P, int R>
struct Tile {
  static void run(const PanelArgs& a, int64_t row, int64_t panel) {
    RowRun x = rows_from<P>(a.x, row);
    const char* block = static_cast<const char*>(a.panels) + panel * a.panel_bytes;
    const char* const end = block + a.panel_bytes;
    __m512 acc[R];
    for (int r = 0; r < R; ++r) acc[r] = _mm512_setzero_ps();
    for (; block < end; block += P::kLayout.block_bytes()) {
      for (int g = 0; g < P::kLayout.groups; ++g) {
        __m512i w[8];
        __m512 scale[2], minimum = _mm512_setzero_ps();
        P::scales(block, g, scale, &minimum);
        P::codes(block, g, w);
        add_group<P, R>(x, w, scale, minimum, acc);
        x.codes += kGroupInputs * x.stride;
        x.scales += x.stride;
        x.sums += x.stride;
        x.starts += P::kStarts * x.stride;
      }
    }
    finish(a, row, panel * kPanelColumns, acc);
  }

  static void finish(const PanelArgs& a, int64_t row, int64_t col, __m512 (&acc)[R]) {
    const int64_t left = a.cols - col;
    const __mmask16 mask = left < kPanelColumns ? static_cast<__mmask16>((1u << left) - 1)
                                                : static_cast<__mmask16>(0xFFFF);
    for (int r = 0; r < R; ++r) {
      float* y = a.y + (row + r) * a.y_stride + col;
      __m512 value = acc[r];
      if (a.bias != nullptr) {
        value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, a.bias + col));
      }
      if (a.add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
      _mm512_mask_storeu_ps(y, mask, value);
    }
  }
};

template <class P>
void linear(const PanelArgs& a) {
  panel_product<P, Tile, 16, 12, 8, 6, 4, 3, 2, 1>(a);
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
               linear<Scaled8>},
    .integer_peak = integer_peak,
    .integer_multiply_adds = 8 * 64,
};

}  // namespace brisk
