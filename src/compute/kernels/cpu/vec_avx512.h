// 16 floats as one AVX-512 register. The three vec_*.h give the same results, bit for bit.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define BRISK_ISA_TABLE kKernelsAvx512
#define BRISK_ISA_PANELS kPanelKernelsAvx512
#define BRISK_ISA_SPARSE kSparseKernelsAvx512
#define BRISK_ISA_NAME "avx512"

namespace brisk {
namespace {

constexpr Isa kIsa = Isa::kAvx512;
constexpr int kTileRows = 6;
constexpr int kTileCols = 4;
constexpr int kDirectRows = 4;
constexpr int kQueriesTogether = 8;  // of attention

struct Vec {
  __m512 v;
};

inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline Vec zero() { return {_mm512_setzero_ps()}; }
inline Vec splat(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const void* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load_first(const void* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
}
inline void store(void* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store_first(void* p, Vec a, int64_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), a.v);
}
inline Vec keep_first(Vec a, int64_t n) { return {_mm512_maskz_mov_ps(first_lanes(n), a.v)}; }

inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec absolute(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec round_to_even(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// 2^n for whole n in [-126, 127].
inline Vec power_of_two(Vec n) {
  const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}
// `a` where x >= limit, else 0.
inline Vec zero_below(Vec a, Vec x, Vec limit) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_GE_OQ), a.v)};
}

inline float sum(Vec a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float largest(Vec a) { return _mm512_reduce_max_ps(a.v); }

// Bit i: a's lane i is below b's; not where either is NaN.
inline uint32_t lanes_below(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
// Writes first + i for each bit i of `lanes`, in order; how many. May write 16.
inline int64_t put_lanes(int32_t* out, uint32_t lanes, int32_t first) {
  if (lanes == 0) return 0;
  const __m512i counted = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i ids = _mm512_add_epi32(counted, _mm512_set1_epi32(first));
  // Not the form that stores by itself, which some CPUs execute a lane at a time.
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(static_cast<__mmask16>(lanes), ids));
  return __builtin_popcount(lanes);
}

// 16 doubles.
struct Wide {
  __m512d lo, hi;
};
inline Wide wide_zero() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
inline Wide add_wide(Wide sums, Vec a) {
  return {_mm512_add_pd(sums.lo, _mm512_cvtps_pd(_mm512_castps512_ps256(a.v))),
          _mm512_add_pd(sums.hi, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)))};
}
inline void store_wide(double* p, Wide a) {
  _mm512_storeu_pd(p, a.lo);
  _mm512_storeu_pd(p + 8, a.hi);
}

inline float f16_scalar(const void* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, 2);
  return _cvtsh_ss(bits);
}
inline Vec load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline Vec load_bf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline Vec load_i8(const void* p) {
  const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  return {_mm512_cvtepi32_ps(wide)};
}
// The low or high halves of 16 bytes, as unsigned numbers minus 8.
inline Vec load_low_nibbles(const void* p) {
  const __m128i bytes =
      _mm_and_si128(_mm_loadu_si128(static_cast<const __m128i*>(p)), _mm_set1_epi8(15));
  const __m512i wide = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(8));
  return {_mm512_cvtepi32_ps(wide)};
}
inline Vec load_high_nibbles(const void* p) {
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  return {_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(bytes, 4), _mm512_set1_epi32(8)))};
}
struct Nibbles {
  Vec low, high;
};
// Both halves of 16 bytes, as unsigned numbers.
inline Nibbles load_nibbles(const void* p) {
  const __m512 numbers = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  // An index of 16 is its lowest four bits.
  return {{_mm512_permutexvar_ps(bytes, numbers)},
          {_mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), numbers)}};
}
inline void store_f16(void* p, Vec a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_bf16(void* p, Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  const __m512i kept = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
}
// Whole numbers in [-127, 127].
inline void store_i8(void* p, Vec a) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
// fp8 e4m3; see vec_scalar.h.
inline Vec load_fp8(const void* p) {
  const __m256i words = _mm256_cvtepu8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  const __m256i shifted = _mm256_slli_epi16(words, 7);  // the sign is one bit too low
  const __m256i sign = _mm256_and_si256(shifted, _mm256_set1_epi16(0x4000));
  return {_mm512_mul_ps(_mm512_cvtph_ps(_mm256_add_epi16(shifted, sign)), _mm512_set1_ps(256.0f))};
}
inline void store_fp8(void* p, Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, 24), _mm512_set1_epi32(0x80));
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
  const __m512 grid = _mm512_set1_ps(16384.0f);
  const __m512i small =
      _mm512_sub_epi32(_mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(magnitude), grid)),
                       _mm512_castps_si512(grid));
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(magnitude, 20), _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_add_epi32(magnitude, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFFF)));
  const __m512i normal =
      _mm512_sub_epi32(_mm512_srli_epi32(rounded, 20), _mm512_set1_epi32(120 << 3));
  const __mmask16 is_small = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x3C800000));
  const __m512i codes = _mm512_or_si512(sign, _mm512_mask_mov_epi32(normal, is_small, small));
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(codes));
}

}  // namespace
}  // namespace brisk
