// Integer products with AVX2: one 256-bit register is four inputs of 8 columns, half a panel.
// Products of u8 and s8 are added in pairs to s16 (vpmaddubsw), where they must not saturate.
#include <immintrin.h>

#include "compute/kernels/cpu/panels.h"
// clang-format off
#include "compute/kernels/cpu/panel_rows_body.h"
// clang-format on

namespace brisk {
namespace {

inline __m256i load_256(const char* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline __m256 f16_8(const char* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline __m256 u8_8(const char* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline __m256 i8_8(const char* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

inline __m256i nibbles(const char* p, int j) {
  const __m256i both = load_256(p + 64 * (j % 4));
  return _mm256_and_si256(j < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
}

// kSteps: how many results of vpmaddubsw can be added in s16, 2 * 127 * (largest code) each.
template <PanelFormat F, int Steps>
struct Format {
  static constexpr PanelLayout kLayout = kPanelLayouts[static_cast<int>(F)];
  static constexpr int kOffset = kLayout.offset;
  static constexpr int kSteps = Steps;
  static constexpr int kStarts = 1;
  static constexpr bool kHalves = false;
  static constexpr bool kMinimum = false;
  static constexpr bool kSigned = false;  // codes() gives code - offset
};

// `block` and the `p` of a group are given for the half panel: columns 0..7 or 8..15.
struct Q4_0 : Format<PanelFormat::kQ4_0, 8> {
  static void scales(const char* block, int g, int half, __m256 (&s)[2], __m256*) {
    s[0] = f16_8(block + 32 * g + 16 * half);
  }
  static __m256i code(const char* p, int j, int half) { return nibbles(p + 32 * half, j); }
};

struct Q8_0 : Format<PanelFormat::kQ8_0, 1> {
  static constexpr bool kSigned = true;
  static void scales(const char* block, int g, int half, __m256 (&s)[2], __m256*) {
    s[0] = f16_8(block + 32 * g + 16 * half);
  }
  static __m256i code(const char* p, int j, int half) {
    return _mm256_xor_si256(load_256(p + 64 * j + 32 * half), _mm256_set1_epi8(-128));
  }
};

template <PanelFormat F, int Steps>
struct KWithMinimum : Format<F, Steps> {
  static constexpr bool kMinimum = true;
  static void scales(const char* block, int g, int half, __m256 (&s)[2], __m256* minimum) {
    s[0] = _mm256_mul_ps(f16_8(block + 16 * half), u8_8(block + 64 + 16 * g + 8 * half));
    const __m256 positive =
        _mm256_mul_ps(f16_8(block + 32 + 16 * half), u8_8(block + 192 + 16 * g + 8 * half));
    *minimum = _mm256_sub_ps(_mm256_setzero_ps(), positive);
  }
};

struct Q4_K : KWithMinimum<PanelFormat::kQ4_K, 8> {
  static __m256i code(const char* p, int j, int half) { return nibbles(p + 32 * half, j); }
};

struct Q5_K : KWithMinimum<PanelFormat::kQ5_K, 4> {
  static __m256i code(const char* p, int j, int half) {
    int32_t fifth;
    __builtin_memcpy(&fifth, p + 256 + 8 * j + 4 * half, 4);
    const __m256i bytes =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ull));
    const __m256i spread =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(fifth), bytes), bit);
    const __m256i set = _mm256_and_si256(_mm256_cmpeq_epi8(spread, bit), _mm256_set1_epi8(16));
    return _mm256_or_si256(nibbles(p + 32 * half, j), set);
  }
};

struct Q6_K : Format<PanelFormat::kQ6_K, 2> {
  static constexpr bool kHalves = true;
  static constexpr int kStarts = 2;
  static void scales(const char* block, int g, int half, __m256 (&s)[2], __m256*) {
    const __m256 scale = f16_8(block + 16 * half);
    s[0] = _mm256_mul_ps(scale, i8_8(block + 32 + 32 * g + 8 * half));
    s[1] = _mm256_mul_ps(scale, i8_8(block + 48 + 32 * g + 8 * half));
  }
  static __m256i code(const char* p, int j, int half) {
    const __m256i high = load_256(p + 256 + 64 * (j / 4) + 32 * half);
    const __m256i placed = j % 4 == 0   ? _mm256_slli_epi16(high, 4)
                           : j % 4 == 1 ? _mm256_slli_epi16(high, 2)
                           : j % 4 == 2 ? high
                                        : _mm256_srli_epi16(high, 2);
    return _mm256_or_si256(nibbles(p + 32 * half, j),
                           _mm256_and_si256(placed, _mm256_set1_epi8(0x30)));
  }
};

struct Scaled8 : Format<PanelFormat::kScaled8, 1> {
  static constexpr bool kMinimum = true;
  static constexpr bool kSigned = true;
  static void scales(const char* block, int, int half, __m256 (&s)[2], __m256* minimum) {
    const float* f = reinterpret_cast<const float*>(block) + 8 * half;
    s[0] = _mm256_loadu_ps(f);
    *minimum = _mm256_loadu_ps(f + 16);
  }
  static __m256i code(const char* p, int j, int half) { return Q8_0::code(p, j, half); }
};

template <PanelFormat F>
struct WithZeros : Format<F, 8> {
  static constexpr bool kMinimum = true;
  static void scales(const char* block, int g, int half, __m256 (&s)[2], __m256* minimum) {
    const char* zeros = block;
    if constexpr (F == PanelFormat::kInt4) {
      s[0] = f16_8(block + 32 * g + 16 * half);
      zeros += 64 + 16 * g + 8 * half;
    } else {
      s[0] = _mm256_loadu_ps(reinterpret_cast<const float*>(block + 64 * g + 32 * half));
      zeros += 128 + 16 * g + 8 * half;
    }
    *minimum = _mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(s[0], u8_8(zeros)));
  }
  static __m256i code(const char* p, int j, int half) { return nibbles(p + 32 * half, j); }
};
using Int4 = WithZeros<PanelFormat::kInt4>;
using Int4Wide = WithZeros<PanelFormat::kInt4Wide>;

inline __m256i four_inputs(const int8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, 4);
  return _mm256_set1_epi32(four);
}

template <class P>
inline __m256i start(const RowRun& x, int64_t r, int which) {
  if constexpr (P::kOffset == 0 || P::kSigned) return _mm256_setzero_si256();
  return _mm256_set1_epi32(x.starts[P::kStarts * r + which]);
}

inline __m256i widened(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

// total + codes w(j) times inputs x(j) for j in [J, J + N).
template <class P, int J, int N>
inline __m256i dot(__m256i total, auto w, auto x) {
#pragma GCC unroll 8
  for (int from = J; from < J + N; from += P::kSteps) {
    __m256i pairs = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = from; j < from + P::kSteps; ++j) {
      __m256i product;
      if constexpr (P::kSigned) {  // |w| as u8 times sign(w) x as s8
        product = _mm256_maddubs_epi16(_mm256_abs_epi8(w(j)), _mm256_sign_epi8(x(j), w(j)));
      } else {
        product = _mm256_maddubs_epi16(w(j), x(j));
      }
      pairs = j == from ? product : _mm256_add_epi16(pairs, product);
    }
    total = _mm256_add_epi32(total, widened(pairs));
  }
  return total;
}

inline __m256 add_scaled(__m256 acc, __m256 scale, float x_scale, __m256i total) {
  const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(x_scale));
  return _mm256_fmadd_ps(both, _mm256_cvtepi32_ps(total), acc);
}

// sum + the scaled dot products of one row's group with half a panel.
template <class P>
inline __m256 add_products(__m256 sum, const __m256 (&scale)[2], __m256 minimum, const RowRun& x,
                           int64_t r, auto w, auto inputs) {
  if constexpr (P::kHalves) {
    sum = add_scaled(sum, scale[0], x.scales[r], dot<P, 0, 4>(start<P>(x, r, 0), w, inputs));
    return add_scaled(sum, scale[1], x.scales[r], dot<P, 4, 4>(start<P>(x, r, 1), w, inputs));
  }
  sum = add_scaled(sum, scale[0], x.scales[r], dot<P, 0, 8>(start<P>(x, r, 0), w, inputs));
  if constexpr (P::kMinimum) sum = _mm256_fmadd_ps(minimum, _mm256_set1_ps(x.sums[r]), sum);
  return sum;
}

template <class P>
inline const char* codes_of(const char* block, int g) {
  return block + P::kLayout.header_bytes + g * P::kLayout.group_bytes;
}

// One group of half a panel for all rows: its weights stay in registers, the sums in the
// first-level cache.
template <class P>
inline void add_group(const RowRun& x, int64_t rows, const char* block, int g, int half,
                      float (*acc)[kPanelColumns]) {
  const char* p = codes_of<P>(block, g);
  __m256 scale[2], minimum = _mm256_setzero_ps();
  P::scales(block, g, half, scale, &minimum);
  __m256i w[8];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) w[j] = P::code(p, j, half);
  for (int64_t r = 0; r < rows; ++r) {
    float* const y = acc[r] + 8 * half;
    const int8_t* codes = x.codes + kGroupInputs * r;
    const __m256 sum = add_products<P>(
        _mm256_load_ps(y), scale, minimum, x, r, [&](int j) { return w[j]; },
        [&](int j) { return four_inputs(codes + 4 * j); });
    _mm256_store_ps(y, sum);
  }
}

// Whole bytes: `w` and `magnitude` of half the group fit into registers.
template <class P, int J>
inline __m256i signed_dot(__m256i total, const __m256i (&w)[4], const __m256i (&magnitude)[4],
                          const int8_t* codes) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m256i x = _mm256_sign_epi8(four_inputs(codes + 4 * (J + j)), w[j]);
    total = _mm256_add_epi32(total, widened(_mm256_maddubs_epi16(magnitude[j], x)));
  }
  return total;
}

template <class P, int J>
inline void load_signed(const char* p, int half, __m256i (&w)[4], __m256i (&magnitude)[4]) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    w[j] = P::code(p, J + j, half);
    magnitude[j] = _mm256_abs_epi8(w[j]);
  }
}

template <class P>
inline void add_signed_group(const RowRun& x, int64_t rows, const char* block, int g, int half,
                             float (*acc)[kPanelColumns]) {
  const char* p = codes_of<P>(block, g);
  alignas(32) __m256i totals[kRowBlock];
  __m256i w[4], magnitude[4];
  load_signed<P, 0>(p, half, w, magnitude);
  for (int64_t r = 0; r < rows; ++r) {
    totals[r] = signed_dot<P, 0>(_mm256_setzero_si256(), w, magnitude, x.codes + kGroupInputs * r);
  }
  __m256 scale[2], minimum = _mm256_setzero_ps();
  P::scales(block, g, half, scale, &minimum);
  load_signed<P, 4>(p, half, w, magnitude);
  for (int64_t r = 0; r < rows; ++r) {
    const __m256i total = signed_dot<P, 4>(totals[r], w, magnitude, x.codes + kGroupInputs * r);
    __m256 sum = add_scaled(_mm256_load_ps(acc[r] + 8 * half), scale[0], x.scales[r], total);
    if constexpr (P::kMinimum) sum = _mm256_fmadd_ps(minimum, _mm256_set1_ps(x.sums[r]), sum);
    _mm256_store_ps(acc[r] + 8 * half, sum);
  }
}

void finish(const PanelArgs& a, int64_t row, int64_t rows, int64_t col,
            const float (*acc)[kPanelColumns]) {
  if (col >= a.cols) return;
  const int64_t half_at = col % kPanelColumns;
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(a.cols - col)), lanes);
  for (int64_t r = 0; r < rows; ++r) {
    float* y = a.y + (row + r) * a.y_stride + col;
    __m256 value = _mm256_load_ps(acc[r] + half_at);
    if (a.bias != nullptr) value = _mm256_add_ps(value, _mm256_maskload_ps(a.bias + col, mask));
    if (a.add) value = _mm256_add_ps(_mm256_maskload_ps(y, mask), value);
    _mm256_maskstore_ps(y, mask, value);
  }
}

// A whole block of rows against a panel. The halves take turns so that memory is read in one
// stream.
template <class P>
struct Tile {
  static void run(const PanelArgs& a, int64_t row, int64_t rows, int64_t panel) {
    alignas(32) float acc[kRowBlock][kPanelColumns];
    const char* const begin = static_cast<const char*>(a.panels) + panel * a.panel_bytes;
    const RowRun x = rows_from<P>(a.x, row);
    if (rows == 1) {
      add_row(x, begin, begin + a.panel_bytes, acc[0]);
    } else {
      add_rows(x, rows, begin, begin + a.panel_bytes, acc);
    }
    for (int half = 0; half < 2; ++half) {
      finish(a, row, rows, panel * kPanelColumns + 8 * half, acc);
    }
  }

  static void add_rows(RowRun x, int64_t rows, const char* block, const char* end,
                       float (*acc)[kPanelColumns]) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int half = 0; half < 2; ++half) _mm256_store_ps(acc[r] + 8 * half, _mm256_setzero_ps());
    }
    for (; block < end; block += P::kLayout.block_bytes()) {
      for (int g = 0; g < P::kLayout.groups; ++g) {
        prefetch_ahead<P>(block, g);
        for (int half = 0; half < 2; ++half) {
          if constexpr (P::kSigned) {
            add_signed_group<P>(x, rows, block, g, half, acc);
          } else {
            add_group<P>(x, rows, block, g, half, acc);
          }
        }
        x.advance(P::kStarts);
      }
    }
  }

  // Inputs and sums stay in registers.
  static void add_row(RowRun x, const char* block, const char* end, float* y) {
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (; block < end; block += P::kLayout.block_bytes()) {
#pragma GCC unroll 8
      for (int g = 0; g < P::kLayout.groups; ++g) {
        __m256i inputs[8];
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) inputs[j] = four_inputs(x.codes + 4 * j);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          __m256 scale[2], minimum = _mm256_setzero_ps();
          P::scales(block, g, half, scale, &minimum);
          const char* p = codes_of<P>(block, g);
          sums[half] = add_products<P>(
              sums[half], scale, minimum, x, 0, [&](int j) { return P::code(p, j, half); },
              [&](int j) { return inputs[j]; });
        }
        x.advance(P::kStarts);
      }
    }
    for (int half = 0; half < 2; ++half) _mm256_store_ps(y + 8 * half, sums[half]);
  }
};

template <class P>
void linear(const PanelArgs& a) {
  panel_product<P, Tile<P>>(a);
}

// As many chains as hide the latency of a multiplication and leave registers for its result.
constexpr int kPeakChains = 12;

template <bool IsWidened>
int32_t integer_peak(int64_t iterations) {
  __m256i chains[kPeakChains];
  for (int i = 0; i < kPeakChains; ++i) chains[i] = _mm256_set1_epi32(i);
  const __m256i ones = _mm256_set1_epi8(1);
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 12
    for (__m256i& chain : chains) {
      const __m256i pairs = _mm256_maddubs_epi16(ones, chain);
      chain = IsWidened ? _mm256_add_epi32(chain, widened(pairs)) : _mm256_add_epi16(chain, pairs);
    }
  }
  for (int i = 1; i < kPeakChains; ++i) chains[0] = _mm256_add_epi32(chains[0], chains[i]);
  return _mm256_extract_epi32(chains[0], 0);
}

}  // namespace

constexpr PanelKernels kPanelKernelsAvx2 = {
    .linear = {linear<Q4_0>, linear<Q8_0>, linear<Q4_K>, linear<Q5_K>, linear<Q6_K>,
               linear<Scaled8>, linear<Int4>, linear<Int4Wide>},
    .int8_peak = {integer_peak<true>, kPeakChains * 32},
    .int4_peak = {integer_peak<false>, kPeakChains * 32},
};

}  // namespace brisk
